/** The phases of one driver: what follows from its sessions, its age and its pool's policy. */
import { withPhase, withoutSession } from '../model/driver-record.js';
import type { DriverRecord, ObservedDriver } from '../model/driver.js';
import type { PoolPolicy } from '../model/policy.js';

/** A driver becomes available this long after it was published, even if an Envoy has not acknowledged it. */
const PUBLISH_GRACE_MS = 5_000;

/** How long a first request may wait for a driver that does not even greet. */
const FIRST_ANSWER_MS = 20_000;
/** A driver whose sessions nobody knows any more is left to finish what runs on it for this long. */
const PAST_UNKNOWN_MS = 5 * 60_000;

export interface DriverSituation {
  readonly driver: ObservedDriver | undefined;
  /** It was not seen, perhaps only because it cannot be read now. */
  readonly inDoubt: boolean;
  readonly policy: PoolPolicy | undefined;
  /** When it was first published to Envoy; undefined while it is not. */
  readonly routedSinceMs: number | undefined;
  /** Whether every connected Envoy has acknowledged it. */
  readonly known: boolean;
  readonly withheld: string | undefined;
  /** Since when it does not answer. */
  readonly silentSinceMs: number | undefined;
  /** No request of any of its sessions had an answer yet. */
  readonly isUnanswered: boolean;
  /** The factory was asked to delete it, and has taken that on. */
  readonly isAsked: boolean;
}

/** Made by our factory, so ours to delete. */
export function isManaged(record: DriverRecord): record is DriverRecord & { resource: string } {
  return record.resource !== undefined;
}

export function hasSessions(record: DriverRecord): boolean {
  return Object.keys(record.sessions).length > 0;
}

/** The record in the phase it should be in now. Never takes a driver with sessions out of service. */
export function advance(
  record: DriverRecord,
  situation: DriverSituation,
  deadlines: Deadlines,
): DriverRecord {
  const { nowMs } = deadlines;
  switch (record.phase) {
    case 'warming':
      return warming(record, situation, deadlines);
    case 'available':
      if (hasSessions(record)) return withPhase(record, 'in_use', nowMs);
      return stuckIdle(record, situation, deadlines);
    case 'in_use':
      if (!hasSessions(record)) return afterUse(record, situation.policy, nowMs);
      return lost(stillborn(record, situation, deadlines), situation, deadlines);
    case 'draining':
      return draining(lost(record, situation, deadlines), deadlines);
    case 'expired':
      if (hasSessions(record)) return withPhase(record, 'draining', nowMs, record.reason);
      return situation.isAsked ? withPhase(record, 'ending', nowMs, record.reason) : record;
    case 'ending':
    case 'gone':
      break;
  }
  return record;
}

function warming(
  record: DriverRecord,
  { driver, inDoubt, policy, routedSinceMs, known, withheld }: DriverSituation,
  deadlines: Deadlines,
): DriverRecord {
  const { nowMs } = deadlines;
  if (inDoubt || driver?.condition === 'in_doubt') return record;
  if (
    driver?.condition === 'ready' &&
    routedSinceMs !== undefined &&
    (known || deadlines.passed(routedSinceMs + PUBLISH_GRACE_MS))
  ) {
    return withPhase(record, hasSessions(record) ? 'in_use' : 'available', nowMs);
  }
  const reason = withheld ?? driver?.reason;
  if (isManaged(record) && !hasSessions(record)) {
    if (!policy) return withPhase(record, 'expired', nowMs, 'Its namespace has no pool any more.');
    // One that has come up is late for nothing; it may be withheld for a while, or wait for an Envoy.
    const sinceMs = driver?.condition === 'ready' ? record.phaseSinceMs : record.createdAtMs;
    if (deadlines.passed(sinceMs + policy.startTimeoutMs)) {
      return withPhase(record, 'expired', nowMs, startTimeout(policy.startTimeoutMs, reason));
    }
  }
  return withPhase(record, 'warming', nowMs, reason);
}

/** What is said of a driver that did not come up in time. */
export function startTimeout(timeoutMs: number, detail: string | undefined): string {
  const seconds = Math.round(timeoutMs / 1000);
  return `It did not come up within ${seconds} s${detail === undefined ? '.' : `: ${detail}`}`;
}

/** An idle driver that has stopped answering for as long as a new one would take is replaced. */
function stuckIdle(
  record: DriverRecord,
  { driver, inDoubt, policy, silentSinceMs }: DriverSituation,
  deadlines: Deadlines,
): DriverRecord {
  if (!isManaged(record) || inDoubt || driver?.condition === 'in_doubt') return record;
  if (!policy) {
    return withPhase(record, 'expired', deadlines.nowMs, 'Its namespace has no pool any more.');
  }
  if (silentSinceMs !== undefined && deadlines.passed(silentSinceMs + policy.startTimeoutMs)) {
    return withPhase(record, 'expired', deadlines.nowMs, 'It was idle and stopped answering.');
  }
  return record;
}

/**
 * A driver that stands still since before its first session's first answer has nothing that could be
 * lost: it is given up, so that its client is told instead of waiting for ever.
 */
function stillborn(
  record: DriverRecord,
  { driver, inDoubt, silentSinceMs, isUnanswered }: DriverSituation,
  deadlines: Deadlines,
): DriverRecord {
  if (!isManaged(record) || !hasSessions(record) || !isUnanswered) return record;
  if (inDoubt || driver?.condition !== 'not_ready' || silentSinceMs === undefined) return record;
  if (!deadlines.passed(silentSinceMs + FIRST_ANSWER_MS)) return record;
  const { nowMs } = deadlines;
  const ended = Object.keys(record.sessions).reduce<DriverRecord>(
    (current, id) => withoutSession(current, id, 'driver_gone', nowMs),
    record,
  );
  const reason = 'It stopped answering before the first request of its session had an answer.';
  return withPhase(ended, 'expired', nowMs, reason);
}

/**
 * Waiting for a driver that may have ended is safe for ever; a policy may set an end to it, counted
 * from when the driver last answered, be it in use, draining or asked to end: a pod of a dead node is
 * Terminating for ever. Then the driver is ended by the gateway itself, so that what its clients are
 * told is true. One that someone else runs cannot be ended, and of one in doubt nothing is concluded.
 */
function lost(
  record: DriverRecord,
  { driver, inDoubt, policy, silentSinceMs }: DriverSituation,
  deadlines: Deadlines,
): DriverRecord {
  if (record.phase === 'expired') return record;
  if (inDoubt || driver?.condition === 'in_doubt' || !hasSessions(record)) return record;
  const endAfterMs = policy?.onDriverLoss?.endAfterMs;
  if (!isManaged(record) || endAfterMs === undefined || silentSinceMs === undefined) {
    return record;
  }
  if (!deadlines.passed(silentSinceMs + endAfterMs)) return record;
  const { nowMs } = deadlines;
  const seconds = Math.round(endAfterMs / 1000);
  const reason = `It did not answer for ${seconds} s and was ended, as the policy says.`;
  return draining(
    { ...withPhase(record, 'draining', nowMs, reason), drainDeadlineMs: nowMs },
    deadlines,
  );
}

/** A driver that is reused stays with its tenant: `tenant` outlives its sessions. */
function afterUse(
  record: DriverRecord,
  policy: PoolPolicy | undefined,
  nowMs: number,
): DriverRecord {
  if (isManaged(record) && policy?.afterUse !== 'reuse') {
    return withPhase(record, 'expired', nowMs, 'Its last session has ended.');
  }
  return withPhase(record, 'available', nowMs);
}

function draining(record: DriverRecord, deadlines: Deadlines): DriverRecord {
  const { nowMs } = deadlines;
  let next = record;
  if (
    hasSessions(record) &&
    record.drainDeadlineMs !== undefined &&
    deadlines.passed(record.drainDeadlineMs)
  ) {
    next = Object.keys(record.sessions).reduce(
      (current, sessionId) => withoutSession(current, sessionId, 'evicted', nowMs),
      record,
    );
  }
  if (hasSessions(next) || !isManaged(next)) return next;
  if (next.pastUnknown && !deadlines.passed(next.phaseSinceMs + PAST_UNKNOWN_MS)) return next;
  return withPhase(next, 'expired', nowMs, next.reason);
}

// Tells changes of records that a plan depends on from the others: activity changes records all the time.

export class RecordShapes {
  readonly #shapes = new Map<string, string>();

  note(record: DriverRecord): void {
    this.#shapes.set(record.uid, shape(record));
  }

  forget(uid: string): void {
    this.#shapes.delete(uid);
  }

  /** Notes the record, or that there is none. Undefined: that is no reason to look. */
  newsOf(uid: string, record: DriverRecord | undefined): RecordNews | undefined {
    const before = this.#shapes.get(uid);
    const now = record === undefined ? undefined : shape(record);
    if (before === now) return undefined;
    if (now === undefined) this.#shapes.delete(uid);
    else this.#shapes.set(uid, now);
    const isTaken = before?.startsWith(AVAILABLE) === true && record?.phase === 'in_use';
    return isTaken ? 'taken' : 'changed';
  }
}

/** `taken`: an idle driver came into use, after which at most another one is to be made. */
export type RecordNews = 'taken' | 'changed';

const AVAILABLE = 'available ';

function shape(record: DriverRecord): string {
  return `${record.phase} ${hasSessions(record)} ${record.address} ${record.drainDeadlineMs}`;
}
/** Collects the moments at which a plan made now would come out differently, so that the next look is in time. */

export class Deadlines {
  readonly nowMs: number;
  #nextMs = Infinity;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  /** Whether `atMs` has come; if not, it is remembered as a moment to look again. */
  passed(atMs: number): boolean {
    if (this.nowMs >= atMs) return true;
    this.#nextMs = Math.min(this.#nextMs, atMs);
    return false;
  }

  /** The soonest remembered moment, milliseconds since the epoch; undefined when there is none. */
  get nextMs(): number | undefined {
    return Number.isFinite(this.#nextMs) ? this.#nextMs : undefined;
  }
}
