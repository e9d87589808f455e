/** What this sidecar's sessions did, kept until the control plane has taken it in. */
import type { SessionActivity } from '../../model/assignment.js';
import type { Moment } from '../../model/clock.js';

interface Pending {
  atMs: number;
  released: boolean;
}

interface Sent {
  readonly report: bigint;
  readonly sentAt: Moment;
  readonly activity: ReadonlyMap<string, Pending>;
}

/**
 * A leader ends a released session a moment after it has heard of the release. If it is replaced in
 * that moment its successor knows nothing, so releases of the last minute are told again.
 */
const RELEASE_MEMORY_MS = 60_000;

/** One entry for each session, however often it was active. */
export class ActivityReports {
  #pending = new Map<string, Pending>();
  #sent: Sent[] = [];
  /** Reports with releases that were taken in, the oldest first. */
  #released: Sent[] = [];
  #lastReport = 0n;

  add({ sessionId, atMs, released }: SessionActivity): void {
    const pending = this.#pending.get(sessionId);
    if (!pending) {
      this.#pending.set(sessionId, { atMs, released });
      return;
    }
    pending.atMs = Math.max(pending.atMs, atMs);
    pending.released ||= released;
  }

  /** The next report: everything not yet sent. It counts as sent from now on. */
  next(now: Moment): { readonly report: bigint; readonly activity: readonly SessionActivity[] } {
    const report = ++this.#lastReport;
    const activity = this.#pending;
    this.#pending = new Map();
    this.#sent.push({ report, sentAt: now, activity });
    return {
      report,
      activity: [...activity].map(([sessionId, pending]) => ({ sessionId, ...pending })),
    };
  }

  /** Every report up to this one has been taken in. Returns when the newest of them was sent, undefined if there is none. */
  acknowledge(report: bigint): Moment | undefined {
    const taken = this.#sent.filter((sent) => sent.report <= report);
    this.#sent = this.#sent.filter((sent) => sent.report > report);
    for (const { activity, ...sent } of taken) {
      const releases = new Map([...activity].filter(([, { released }]) => released));
      if (releases.size > 0) this.#released.push({ ...sent, activity: releases });
    }
    const newest = taken.at(-1);
    if (newest) this.#forgetReleases(newest.sentAt);
    return newest?.sentAt;
  }

  /** When the oldest report that is not acknowledged was sent. */
  get waitingSince(): Moment | undefined {
    return this.#sent[0]?.sentAt;
  }

  /** The stream broke: what was sent and not acknowledged is to be sent again, and late releases. */
  takeBack(now: Moment): void {
    this.#forgetReleases(now);
    const unsure = [...this.#released, ...this.#sent];
    this.#sent = [];
    this.#released = [];
    for (const { activity } of unsure) {
      for (const [sessionId, pending] of activity) this.add({ sessionId, ...pending });
    }
  }

  #forgetReleases({ monotonicMs }: Moment): void {
    this.#released = this.#released.filter(
      ({ sentAt }) => monotonicMs - sentAt.monotonicMs < RELEASE_MEMORY_MS,
    );
  }
}
