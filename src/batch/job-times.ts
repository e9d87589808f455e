/** Until when a job may wait and run, and when it is to be looked at again if nothing happens. */
import { hasEnded, type JobReason, type JobState } from '../model/job.js';
import { cut } from '../model/telling-line.js';
import { isSubmitted, type JobRecord } from './records/job-record.js';
import type { Observation } from './verdict.js';

/** When to look again if nothing happens: in so many milliseconds, or not at all. */
export type NextLook = number | undefined;

/** A moment, and how long a job may take to come to run, milliseconds. */
export interface PendingLimit {
  readonly nowMs: number;
  readonly pendingLimitMs: number;
}

export const LONGEST_RETRY_MS = 15_000;
const LOOK_AT_WAITING_MS = 15_000;
/** Of a reason, in characters. */
export const LONGEST_MESSAGE = 1_000;

/** Why the job is to be ended now. What cannot be seen is not judged: it may be done. */
export function overdue(
  record: JobRecord,
  observation: Observation,
  limit: PendingLimit,
): JobReason | undefined {
  const { nowMs, pendingLimitMs } = limit;
  if (observation.kind === 'doubt' && isSubmitted(record)) return undefined;
  const status = observation.kind === 'application' ? observation.status : undefined;
  if (status?.state === 'SUCCEEDED' || status?.state === 'FAILED') return undefined;
  if (!status && isSubmitted(record)) return undefined;
  if (nowMs >= record.job.deadlineMs) {
    return {
      code: 'DEADLINE_EXCEEDED',
      message: `It did not end within ${record.job.ttlSeconds} s (ttl_seconds) and was ended.`,
    };
  }
  const waiting = status === undefined || status.state === 'PENDING';
  if (!waiting || nowMs < pendingUntil(record, limit)) return undefined;
  const found = status?.reason ?? record.reason;
  const late = `It did not start within ${Math.round(pendingLimitMs / 1000)} s`;
  return found
    ? { ...found, message: cut(`${late}: ${found.message}`, LONGEST_MESSAGE) }
    : { code: 'PENDING_TOO_LONG', message: `${late}, and nobody has said why.` };
}

/** In how many milliseconds a job in this state is to be looked at, be it that its time is over then. */
export function untilDue(record: JobRecord, state: JobState, limit: PendingLimit): number {
  if (hasEnded(state)) return 0;
  const { nowMs } = limit;
  const due = state === 'RUNNING' ? [] : [pendingUntil(record, limit)];
  const later = [record.job.deadlineMs, ...due].filter((ms) => ms > nowMs);
  const inMs = later.length === 0 ? LONGEST_RETRY_MS : Math.min(...later) - nowMs;
  // Why it waits is asked for by looking.
  return state === 'PENDING' ? Math.min(inMs, LOOK_AT_WAITING_MS) : inMs;
}

function pendingUntil(
  { history, job }: JobRecord,
  { nowMs, pendingLimitMs }: PendingLimit,
): number {
  const lastRun = history.findLastIndex(({ state }) => state === 'RUNNING');
  const since = history[lastRun + 1]?.atMs ?? (lastRun < 0 ? job.createdAtMs : nowMs);
  return since + pendingLimitMs;
}
