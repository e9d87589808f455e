/** How the RPCs of an interval went. */
import type { RequestSample, ActionView } from '../../model/admin-api.js';
import type { AdminAction } from '../../model/audit.js';
import { type Clock, isoTime } from '../../model/clock.js';
import { DURATION_BUCKETS_MS, type EnvoyCounts } from '../../model/envoy-counts.js';
import { isErrorCode } from '../../model/errors.js';

export interface EndedRpc {
  readonly method: string;
  readonly durationMs: number | undefined;
  readonly refusal: string | undefined;
  readonly grpcStatus: number | undefined;
}

/** They last as long as a query does. */
const STREAMS = new Set(['ExecutePlan', 'ReattachExecute', 'AddArtifacts']);
/** Durations kept for the quantiles of one interval; beyond it each one seen has the same chance. */
const MAX_DURATIONS = 2_000;
/** Of one bucket at a time. */
const MAX_COUNTED = 200;

export class RequestTally {
  readonly #random: () => number;
  #ended = 0;
  #failed = 0;
  #refused = new Map<string, number>();
  #durations: number[] = [];
  #timed = 0;

  /** @param random from 0 to below 1 */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  add({ method, durationMs, refusal, grpcStatus }: EndedRpc): void {
    this.#ended += 1;
    if (refusal !== undefined) {
      const code = isErrorCode(refusal) ? refusal : 'other';
      this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1);
      return;
    }
    if (grpcStatus !== 0) this.#failed += 1;
    if (durationMs !== undefined && !STREAMS.has(method)) this.#time(durationMs);
  }

  /** RPCs that are no streams: how long each took, milliseconds. */
  addSucceeded(durationsMs: readonly number[]): void {
    this.#ended += durationsMs.length;
    for (const durationMs of durationsMs) this.#time(durationMs);
  }

  /** Such as Envoy counts by itself. */
  addCounted({ succeeded, buckets }: EnvoyCounts): void {
    this.#ended += succeeded;
    const ends = [...DURATION_BUCKETS_MS, Infinity];
    for (const [index, count] of buckets.entries()) {
      // A bucket says no more than its end; a few of each are as telling as all.
      const end = Math.min(ends[index] ?? Infinity, ends.at(-2) ?? 0);
      for (let i = 0; i < Math.min(count, MAX_COUNTED); i += 1) this.#time(end);
    }
  }

  /** What was added since the last time. */
  take(): RequestSample {
    const sorted = this.#durations.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
    const sample = {
      ended: this.#ended,
      failed: this.#failed,
      refused: Object.fromEntries(this.#refused),
      ...(sorted.length === 0 ? {} : { latency: { p50: at(0.5), p95: at(0.95), p99: at(0.99) } }),
    };
    this.#ended = 0;
    this.#failed = 0;
    this.#refused = new Map();
    this.#durations = [];
    this.#timed = 0;
    return sample;
  }

  /** Reservoir sampling (Vitter's algorithm R). */
  #time(durationMs: number): void {
    this.#timed += 1;
    if (this.#durations.length < MAX_DURATIONS) {
      this.#durations.push(durationMs);
      return;
    }
    const at = Math.floor(this.#random() * this.#timed);
    if (at < MAX_DURATIONS) this.#durations[at] = durationMs;
  }
}

// What operators did lately, as this replica saw it. The audit records are what counts.

const KEPT = 50;

export class RecentActions {
  readonly #clock: Clock;
  #actions: readonly ActionView[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What nobody known has asked for was refused, and anybody could fill the list with it. */
  note(action: AdminAction): void {
    if (!action.principal) return;
    this.#actions = [{ at: isoTime(this.#clock.now()), ...action }, ...this.#actions].slice(
      0,
      KEPT,
    );
  }

  newestFirst(): readonly ActionView[] {
    return this.#actions;
  }
}
