/** Which driver a new session may have. Pure functions of records, observations and policy. */
import { createHash } from 'node:crypto';
import type { AssignRequest } from '../model/assignment.js';
import type { DriverRecord, ObservedDriver, SessionRecord } from '../model/driver.js';
import type { GatewayError } from '../model/errors.js';
import type { PoolPolicy, CanaryPolicy, QuotaPolicy } from '../model/policy.js';
import type { Observations, PoolStatusSource } from '../model/pool.js';
import { samePrincipal, type Principal, principalKey } from '../model/principal.js';
import { type OwnSession, quotaExceeded } from './session-refusals.js';
import type { Place } from './waiting-room.js';

/**
 * Sessions and tombstones in one record at most. A record is one object of the store, and etcd takes
 * no more than 1.5 MiB; an entry is some 300 bytes.
 */
export const MAX_RECORD_ENTRIES = 2000;

export function isFull(record: DriverRecord): boolean {
  return sessionCount(record) + Object.keys(record.tombstones).length >= MAX_RECORD_ENTRIES;
}

export function sessionCount(record: DriverRecord): number {
  return Object.keys(record.sessions).length;
}

/** Whether the driver is the very one that the record is about. */
export function isSameDriver(record: DriverRecord, seen: ObservedDriver | undefined): boolean {
  return seen !== undefined && seen.instance === record.instance;
}

/** Whether the driver takes a new session, whoever asks. */
function takesSessions(
  record: DriverRecord,
  seen: ObservedDriver | undefined,
  pool: PoolPolicy,
): boolean {
  const inService =
    record.phase === 'available' ||
    // A driver that is replaced after use ends with its last session, even before its phase says so.
    (record.phase === 'in_use' && (pool.afterUse === 'reuse' || sessionCount(record) > 0));
  return (
    inService &&
    seen?.condition === 'ready' &&
    isSameDriver(record, seen) &&
    record.address !== '' &&
    sessionCount(record) < Math.min(pool.sessionsPerDriver, seen.mostSessions ?? Infinity) &&
    !isFull(record)
  );
}

/**
 * Whether what the driver's memory may hold is this caller's to see. A driver without a fence lets a
 * client reach any of its sessions: it has those of one principal, also where the policy shares drivers.
 */
export function mayShare(
  record: DriverRecord,
  caller: { readonly principal: Principal; readonly team: string },
  sharing: PoolPolicy['sharing'],
  fenced: boolean,
): boolean {
  const { tenant } = record;
  if (!tenant) return true;
  if (sharing === 'team' && fenced) return tenant.team === caller.team;
  return tenant.shared !== true && samePrincipal(tenant.principal, caller.principal);
}

/** The drivers that take a new session. */
export function openDrivers(
  records: Iterable<DriverRecord>,
  observations: Observations,
  pool: PoolPolicy,
): DriverRecord[] {
  const open: DriverRecord[] = [];
  for (const record of records) {
    if (takesSessions(record, observations.get(record.uid), pool)) open.push(record);
  }
  return open;
}

/** The nearest cluster's first; hot ones before those in use; among hot ones a tenant's own, then the oldest; else the emptiest. */
function isPreferred(a: DriverRecord, b: DriverRecord): boolean {
  const order =
    (a.cluster?.distance ?? 0) - (b.cluster?.distance ?? 0) ||
    Number(a.phase !== 'available') - Number(b.phase !== 'available') ||
    Number(a.tenant === undefined) - Number(b.tenant === undefined) ||
    sessionCount(a) - sessionCount(b) ||
    a.createdAtMs - b.createdAtMs ||
    (a.uid < b.uid ? -1 : 1);
  return order < 0;
}

// Which new sessions go to a variant of their pool's drivers, and which drivers they may have.

/**
 * The canary that takes the session. What is alike is chosen alike for as long as the share does not
 * shrink: a larger share takes others in addition.
 */
export function chooseCanary(
  { canaries = [] }: Pick<PoolPolicy, 'canaries'>,
  { principal, sessionId }: Pick<AssignRequest, 'principal' | 'sessionId'>,
): CanaryPolicy | undefined {
  return canaries.find(({ variant, share, sticky }) => {
    const key = sticky === 'principal' ? principalKey(principal) : sessionId;
    return fraction(`${variant}\0${key}`) < share;
  });
}

/** From 0 to 1, the same for the same text. */
function fraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32;
}

/** Whether there is no sense in waiting for the variant: its drivers fail to start, or the policy dropped it. */
export function isOver(place: Place, pool: PoolPolicy, pools: PoolStatusSource): boolean {
  const { variant } = place;
  if (variant === undefined) return false;
  const inPolicy = pool.canaries?.some((canary) => canary.variant === variant) === true;
  return !inPolicy || pools.status(place).failure !== undefined;
}

/** The open drivers that the session may have: those of its variant first. */
export function acceptable(
  open: readonly DriverRecord[],
  { variant, place }: { readonly variant: string | undefined; readonly place: Place },
): readonly DriverRecord[] {
  const own = open.filter((driver) => driver.variant === variant);
  if (variant === undefined || place.variant !== undefined) return own;
  return [...own, ...open.filter((driver) => driver.variant === undefined)];
}

/**
 * The driver to take of those that a new session may have: the best one of the first one's variant. One
 * on which its principal has a session already comes first, that of the session that was active last: a
 * client's `newSession()` expects cached tables and global temporary views of the session that it comes
 * from, and nothing in the request says which that is.
 */
export function nearest(
  candidates: readonly DriverRecord[],
  principal: Principal,
  lastActiveMs: (session: SessionRecord) => number,
): DriverRecord | undefined {
  let best: DriverRecord | undefined;
  let own: DriverRecord | undefined;
  let newestMs = -Infinity;
  for (const driver of candidates) {
    if (driver.variant !== candidates[0]?.variant) continue;
    if (!best || isPreferred(driver, best)) best = driver;
    for (const session of Object.values(driver.sessions)) {
      if (!samePrincipal(session.principal, principal)) continue;
      const atMs = lastActiveMs(session);
      if (atMs < newestMs || (atMs === newestMs && own && !isPreferred(driver, own))) continue;
      [own, newestMs] = [driver, atMs];
    }
  }
  return own ?? best;
}

// Limits on how many sessions there may be.

export interface SessionTarget {
  readonly principal: Principal;
  readonly team: string;
  readonly namespace: string;
}

/**
 * undefined: one more session is allowed. Sessions of a principal and of a team count in all
 * namespaces; the limits are those of the namespace asked for. A refusal names the sessions that are
 * the caller's own, and what each does (`stateOf`).
 */
export function refuseByQuota(
  records: Iterable<DriverRecord>,
  target: SessionTarget,
  quotas: QuotaPolicy,
  stateOf: (session: SessionRecord) => OwnSession,
): GatewayError | undefined {
  const { sessionsPerPrincipal, sessionsPerTeam, sessionsPerNamespace } = quotas;
  if (
    sessionsPerPrincipal === undefined &&
    sessionsPerTeam === undefined &&
    sessionsPerNamespace === undefined
  ) {
    return undefined;
  }
  const own: SessionRecord[] = [];
  let ofTeam = 0;
  let ofNamespace = 0;
  for (const record of records) {
    for (const session of Object.values(record.sessions)) {
      if (samePrincipal(session.principal, target.principal)) own.push(session);
      if (session.team === target.team) ofTeam += 1;
      if (record.namespace === target.namespace) ofNamespace += 1;
    }
  }
  const refused = (...[scope, name, limit]: [...ExceededQuota]) =>
    quotaExceeded(scope, name, limit, own.map(stateOf));
  if (sessionsPerPrincipal !== undefined && own.length >= sessionsPerPrincipal) {
    return refused('principal', target.principal.subject, sessionsPerPrincipal);
  }
  if (sessionsPerTeam !== undefined && ofTeam >= sessionsPerTeam) {
    return refused('team', target.team, sessionsPerTeam);
  }
  if (sessionsPerNamespace !== undefined && ofNamespace >= sessionsPerNamespace) {
    return refused('namespace', target.namespace, sessionsPerNamespace);
  }
  return undefined;
}

type ExceededQuota = readonly [
  scope: 'principal' | 'team' | 'namespace',
  name: string,
  limit: number,
];
