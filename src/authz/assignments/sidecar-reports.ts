/** What this sidecar's sessions did, kept until the control plane has taken it in. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { LRUCache } from 'lru-cache';
import {
  type SidecarPolicy as Message,
  SidecarPolicySchema,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import type { SessionActivity, SeenRequest, SeenRequestSink } from '../../model/assignment.js';
import type { Moment } from '../../model/clock.js';
import { principalKey } from '../../model/principal.js';
import type { SidecarPolicy } from '../../model/reports.js';

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

// What this sidecar decides by, as it tells the control plane: when it has changed, and on a new stream.

/** Of a list of mistakes, characters. */
const LONGEST_PROBLEM = 4000;

export class PolicyReports {
  readonly #policy: () => SidecarPolicy | undefined;
  #told: string | undefined;

  constructor(policy: () => SidecarPolicy | undefined) {
    this.#policy = policy;
  }

  /** undefined: it is as it was told. It counts as told from now on. */
  next(nowMs: number): Message | undefined {
    const policy = this.#policy();
    if (!policy) return undefined;
    const text = JSON.stringify(policy);
    if (text === this.#told) return undefined;
    this.#told = text;
    return create(SidecarPolicySchema, messageOf(policy, nowMs));
  }

  /** To whom it is told next may not know of it. */
  tellAgain(): void {
    this.#told = undefined;
  }
}

function messageOf(
  { version, problem = '', shadow, issuers = [] }: SidecarPolicy,
  nowMs: number,
): MessageInitShape<typeof SidecarPolicySchema> {
  const told = {
    version,
    problem: problem.slice(0, LONGEST_PROBLEM),
    issuers: issuers.map((one) => ({ ...one, problem: one.problem.slice(0, LONGEST_PROBLEM) })),
  };
  if (!shadow) return told;
  return {
    ...told,
    shadow: {
      version: shadow.version ?? '',
      problem: (shadow.problem ?? '').slice(0, LONGEST_PROBLEM),
      counts: shadow.counts.map(({ count, ...kind }) => ({ ...kind, count: BigInt(count) })),
      examples: shadow.examples.map(({ atMs, principal, ...example }) => ({
        ...example,
        principal: { ...principal },
        ageMs: BigInt(Math.max(0, nowMs - atMs)),
      })),
    },
  };
}

// The newest request of each session, and of each person who was refused, for the control plane to be told of.

export interface ToldRequest extends SeenRequest {
  /** The caller's, as JSON. */
  readonly claims: string;
}

const REMEMBERED = 10_000;
/** Of one report, characters of claims; what is left comes with the next. */
const MAX_REPORT = 512 * 1024;
/** Larger ones are not told: whom they name stays unknown. No token of this size is accepted. */
const MAX_CLAIMS = 16 * 1024;

export class SeenRequests implements SeenRequestSink {
  readonly #newest = new LRUCache<string, SeenRequest>({ max: REMEMBERED });
  readonly #untold = new Set<string>();

  seen(request: SeenRequest): void {
    const key = request.sessionId ?? `refused ${principalKey(request.caller.principal)}`;
    const known = this.#newest.get(key);
    if (known && isSame(known, request)) return;
    this.#newest.set(key, request);
    this.#untold.add(key);
  }

  /** The next ones to tell, which count as told from now on. */
  next(): readonly ToldRequest[] {
    const told: ToldRequest[] = [];
    let size = 0;
    for (const key of this.#untold) {
      const request = this.#newest.peek(key);
      const claims = JSON.stringify(request?.caller.claims ?? {});
      if (told.length > 0 && size + claims.length > MAX_REPORT) break;
      this.#untold.delete(key);
      if (!request || claims.length > MAX_CLAIMS) continue;
      size += claims.length;
      told.push({ ...request, claims });
    }
    return told;
  }

  /** Another control plane may listen from now on, which knows nothing. */
  tellAgain(): void {
    for (const key of this.#newest.keys()) this.#untold.add(key);
  }
}

/** A caller is the same value for as long as its token is remembered. */
function isSame(a: SeenRequest, b: SeenRequest): boolean {
  return (
    a.caller === b.caller &&
    a.host === b.host &&
    a.userId === b.userId &&
    Object.keys(a.headers).length === Object.keys(b.headers).length &&
    Object.entries(a.headers).every(([name, value]) => b.headers[name] === value)
  );
}
