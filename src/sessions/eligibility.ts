/** Which driver a new session may have. Pure functions of records, observations and policy. */
import type { DriverRecord, ObservedDriver } from '../model/driver.js';
import type { Observations } from '../model/pool.js';
import type { PoolPolicy } from '../model/policy.js';
import { samePrincipal, type Principal } from '../model/principal.js';

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
    sessionCount(record) < pool.sessionsPerDriver &&
    !isFull(record)
  );
}

/** Whether what the driver's memory may hold is this caller's to see. */
export function mayShare(
  record: DriverRecord,
  caller: { readonly principal: Principal; readonly team: string },
  sharing: PoolPolicy['sharing'],
): boolean {
  const { tenant } = record;
  if (!tenant) return true;
  if (sharing === 'team') return tenant.team === caller.team;
  return tenant.shared !== true && samePrincipal(tenant.principal, caller.principal);
}

/** The drivers that take a new session, the one to take first in front. */
export function openDrivers(
  records: Iterable<DriverRecord>,
  observations: Observations,
  pool: PoolPolicy,
): DriverRecord[] {
  return [...records]
    .filter((record) => takesSessions(record, observations.get(record.uid), pool))
    .toSorted(byPreference);
}

/** The nearest cluster's first; hot ones before those in use; among hot ones a tenant's own, then the oldest; else the emptiest. */
function byPreference(a: DriverRecord, b: DriverRecord): number {
  return (
    (a.cluster?.distance ?? 0) - (b.cluster?.distance ?? 0) ||
    Number(a.phase !== 'available') - Number(b.phase !== 'available') ||
    Number(a.tenant === undefined) - Number(b.tenant === undefined) ||
    sessionCount(a) - sessionCount(b) ||
    a.createdAtMs - b.createdAtMs ||
    (a.uid < b.uid ? -1 : 1)
  );
}
