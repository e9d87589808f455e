/** What operators see of the pools. */
import {
  hostPort,
  type DriverPhase,
  type DriverRecord,
  type ObservedDriver,
} from '../model/driver.js';
import type { PoolPolicy } from '../model/policy.js';
import type { PoolStatus } from '../model/pool.js';
import type { DriverStatus, FleetReport, PoolReport } from '../model/reports.js';

/** Where a report takes its facts from. */
export interface FleetFacts extends Pick<FleetReport, 'problems' | 'lastReadMs' | 'readError'> {
  readonly records: readonly DriverRecord[];
  readonly namespaces: readonly string[];
  observed(uid: string): ObservedDriver | undefined;
  routable(uid: string): boolean;
  pool(namespace: string): PoolPolicy | undefined;
  waiting(namespace: string): number;
  status(namespace: string): PoolStatus;
}

export function fleetReport(facts: FleetFacts): FleetReport {
  const { records, problems, lastReadMs, readError } = facts;
  return {
    drivers: records.map((record) => driverStatus(record, facts)),
    pools: facts.namespaces.map((namespace) => poolReport(namespace, facts)),
    problems,
    lastReadMs,
    readError,
  };
}

function driverStatus(record: DriverRecord, facts: FleetFacts): DriverStatus {
  return {
    uid: record.uid,
    namespace: record.namespace,
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

function poolReport(namespace: string, facts: FleetFacts): PoolReport {
  const records = facts.records.filter((record) => record.namespace === namespace);
  const count = (phase: DriverPhase) => records.filter((record) => record.phase === phase).length;
  return {
    ...facts.status(namespace),
    namespace,
    size: facts.pool(namespace)?.size ?? 0,
    waiting: facts.waiting(namespace),
    available: count('available'),
    inUse: count('in_use'),
    draining: count('draining') + count('expired'),
    sessions: records.reduce((sum, record) => sum + Object.keys(record.sessions).length, 0),
  };
}
