/** What a caller is told when its session gets no driver. Each says what is wrong and what to do. */
import type { SessionEnd } from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { PoolStatus } from '../model/pool.js';
import { RETRY_MS } from '../model/refusals.js';

export function sessionIdUnreadable(): GatewayError {
  return new GatewayError('REQUEST_UNREADABLE', 'The session id is not a UUID.');
}

export function sessionOfAnother(): GatewayError {
  return new GatewayError(
    'SESSION_OF_ANOTHER',
    'This session belongs to someone else. Use a session of your own: leave session_id out of the connection string.',
  );
}

export function sessionElsewhere(held: string, asked: string): GatewayError {
  return new GatewayError(
    'SESSION_ELSEWHERE',
    `This session runs in ${held}, not in ${asked}. Keep the team and environment headers it began with, or call spark.stop() and start a new session.`,
  );
}

export function cloneElsewhere(): GatewayError {
  return new GatewayError(
    'SESSION_ELSEWHERE',
    'The new session id of CloneSession is taken by a session on another driver. Clone with a fresh id.',
  );
}

export function sessionUnknown(): GatewayError {
  return new GatewayError(
    'SESSION_UNKNOWN',
    '[INVALID_HANDLE.SESSION_NOT_FOUND] The gateway knows no such session, and this request may not start one.',
  );
}

const endings: Record<SessionEnd, string> = {
  released: 'was stopped',
  expired: 'was idle for too long, or its client was gone, and has expired',
  driver_gone: 'has ended because its Spark driver is gone',
  evicted: 'was ended because its Spark driver was taken out of service',
};

/**
 * Causes of a driver's end that its sessions' owners are told, with what to do. The whole reason is for
 * operators: it may hold a line of the driver's log.
 */
const causes: readonly (readonly [RegExp, string])[] = [
  [
    /out of memory|OOMKilled/i,
    'ran out of memory: fetch and send less at a time, or ask for drivers with more memory',
  ],
  [/disk is full|No space left on device/, 'found its disk full: tell the operator of the gateway'],
];

/** `reason`: why the session's driver is gone, if it is. */
export function sessionEnded(end: SessionEnd, reason?: string): GatewayError {
  const cause =
    end === 'driver_gone' && reason !== undefined
      ? causes.find(([pattern]) => pattern.test(reason))?.[1]
      : undefined;
  const ending = cause === undefined ? endings[end] : `has ended because its Spark driver ${cause}`;
  return new GatewayError(
    'SESSION_ENDED',
    `[INVALID_HANDLE.SESSION_CHANGED] This session ${ending}; its temporary views and settings are lost. Start a new one with SparkSession.builder.getOrCreate(); a PySpark 3.5 client calls spark.stop() first.`,
  );
}

/** A live session of the caller's, for a refusal that says what there is to end. */
export interface OwnSession {
  readonly sessionId: string;
  /** Whether an RPC of it is open. */
  readonly isBusy: boolean;
  readonly idleMs: number;
}

/** Of the caller's own sessions, those that are named at most: a refusal is a header. */
const MOST_NAMED = 5;

/** @param own all of the caller's */
export function quotaExceeded(
  scope: 'principal' | 'team' | 'namespace',
  name: string,
  limit: number,
  own: readonly OwnSession[],
): GatewayError {
  const who = { principal: 'You have', team: `Team ${name} has`, namespace: `${name} has` }[scope];
  return new GatewayError(
    'QUOTA_EXCEEDED',
    `${who} ${limit} ${limit === 1 ? 'session' : 'sessions'}, as many as the policy allows. ${whatToEnd(own)}`,
  );
}

function whatToEnd(own: readonly OwnSession[]): string {
  const [first, ...others] = own.toSorted(
    (a, b) => Number(a.isBusy) - Number(b.isBusy) || b.idleMs - a.idleMs,
  );
  if (!first) return 'None of them is yours: try again when one has ended.';
  const named = [first, ...others].slice(0, MOST_NAMED).map(sessionText);
  const more = own.length > MOST_NAMED ? ` and ${own.length - MOST_NAMED} more` : '';
  return `Yours: ${named.join(', ')}${more}. Stop one with spark.stop() where it runs, or end it from anywhere: spark-gateway release ${first.sessionId}`;
}

function sessionText({ sessionId, isBusy, idleMs }: OwnSession): string {
  const minutes = Math.floor(idleMs / 60_000);
  const idle = minutes > 0 ? `${minutes} min` : `${Math.floor(idleMs / 1000)} s`;
  return `${sessionId} (${isBusy ? 'busy' : `idle for ${idle}`})`;
}

/** What it was let in by is no longer in force. */
export function policyChanged(): GatewayError {
  return new GatewayError(
    'DRIVER_STARTING',
    'The policy has changed while this session waited for its driver. The client tries again by itself.',
    { retryAfterMs: 500 },
  );
}

export function driverFull(limit: number): GatewayError {
  return new GatewayError(
    'QUOTA_EXCEEDED',
    `The driver of this session holds ${limit} sessions with those that ended lately, as many as the gateway keeps for one. Start a session of its own instead of a clone, or stop some and try again later.`,
  );
}

export function driversFull(namespace: string, drivers: number, limit: number): GatewayError {
  return new GatewayError(
    'POOL_EXHAUSTED',
    `No Spark driver of ${namespace} takes a new session now: ${drivers} of them ${drivers === 1 ? 'has' : 'have'} ${limit} sessions with those that ended lately, as many as the gateway keeps for one. The oldest are forgotten as time goes by; the client tries again by itself.`,
    { retryAfterMs: 60_000 },
  );
}

export function driverUnreachable(): GatewayError {
  return new GatewayError(
    'DRIVER_UNREACHABLE',
    "The session's Spark driver cannot be reached or confirmed now. The session is kept; the client tries again by itself.",
    { retryAfterMs: RETRY_MS },
  );
}

export function notStoredInTime(): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'The gateway could not store the assignment of this session; try again in a moment.',
    { retryAfterMs: RETRY_MS },
  );
}

export function tooManyWaiting(namespace: string, waiting: number): GatewayError {
  return new GatewayError(
    'POOL_EXHAUSTED',
    `${waiting} sessions wait for a Spark driver in ${namespace} already. The client tries again by itself.`,
    { retryAfterMs: 15_000 },
  );
}

/**
 * Why the hold ended without a driver.
 * @param startingMs when one is expected
 * @param own the caller's sessions in the namespace
 */
export function noDriverYet(
  namespace: string,
  status: PoolStatus,
  startingMs: number,
  own: readonly OwnSession[],
): GatewayError {
  if (status.failure !== undefined) {
    const retryAfterMs = Math.max(RETRY_MS, status.retryInMs ?? startingMs);
    return new GatewayError(
      'DRIVER_START_FAILED',
      `No Spark driver came up in ${namespace}: ${status.failure} The next attempt is made in ${Math.ceil((status.retryInMs ?? 0) / 1000)} s; the client tries again by itself.`,
      { retryAfterMs },
    );
  }
  if (status.warming === 0 && status.drivers >= status.maximum) {
    return new GatewayError(
      'POOL_EXHAUSTED',
      `All ${status.drivers} Spark drivers of ${namespace} are taken, and the pool may have ${status.maximum}. The client tries again by itself. ${own.length > 0 ? whatToEnd(own) : 'None of them is yours: one is free when its user calls spark.stop() or is idle for long; ask the platform team for a larger pool.'}`,
      { retryAfterMs: 10_000 },
    );
  }
  return new GatewayError(
    'DRIVER_STARTING',
    `A Spark driver is starting in ${namespace}. The client tries again by itself.`,
    { retryAfterMs: startingMs },
  );
}
