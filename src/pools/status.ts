/** What operators see of the pools. */
import {
  hostPort,
  type DriverPhase,
  type DriverRecord,
  type ObservedDriver,
} from '../model/driver.js';
import type { PoolPolicy } from '../model/policy.js';
import { poolKey, type PoolName, type PoolStatus } from '../model/pool.js';
import type { DriverStatus, FleetReport, PoolReport } from '../model/reports.js';
import { liveByPool } from './pool-counts.js';

/** Where a report takes its facts from. */
export interface FleetFacts extends Pick<FleetReport, 'lastReadMs' | 'readError' | 'writeError'> {
  readonly records: readonly DriverRecord[];
  readonly pools: readonly PoolName[];
  observed(uid: string): ObservedDriver | undefined;
  routable(uid: string): boolean;
  pool(pool: PoolName): PoolPolicy | undefined;
  waiting(pool: PoolName): number;
  status(pool: PoolName): PoolStatus;
}

export function fleetReport(facts: FleetFacts): FleetReport {
  const { records, lastReadMs, readError, writeError } = facts;
  const live = liveByPool(records);
  return {
    drivers: records.map((record) => driverStatus(record, facts)),
    pools: facts.pools.map((pool) => poolReport(pool, live.get(poolKey(pool)) ?? [], facts)),
    lastReadMs,
    readError,
    writeError,
  };
}

function driverStatus(record: DriverRecord, facts: FleetFacts): DriverStatus {
  return {
    uid: record.uid,
    namespace: record.namespace,
    variant: record.variant,
    address: record.address === '' ? '' : hostPort(record.address, record.port),
    cluster: record.cluster?.name,
    phase: record.phase,
    reason: record.reason,
    condition: facts.observed(record.uid)?.condition,
    resource: record.resource,
    routable: facts.routable(record.uid),
    sessions: Object.keys(record.sessions).length,
    tenant: record.tenant,
    createdAtMs: record.createdAtMs,
    phaseSinceMs: record.phaseSinceMs,
    drainDeadlineMs: record.drainDeadlineMs,
  };
}

function poolReport(
  pool: PoolName,
  records: readonly DriverRecord[],
  facts: FleetFacts,
): PoolReport {
  const count = (phase: DriverPhase) => records.filter((record) => record.phase === phase).length;
  return {
    ...facts.status(pool),
    namespace: pool.namespace,
    variant: pool.variant,
    size: facts.pool(pool)?.size ?? 0,
    waiting: facts.waiting(pool),
    available: count('available'),
    inUse: count('in_use'),
    draining: count('draining') + count('expired'),
    sessions: records.reduce((sum, record) => sum + Object.keys(record.sessions).length, 0),
  };
}
