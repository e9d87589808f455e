/** What operators see of the pools. Holds no secret. */
import {
  hostPort,
  type DriverPhase,
  type DriverRecord,
  type ObservedDriver,
} from '../model/driver.js';
import type { PoolPolicy } from '../model/policy.js';
import type { PoolStatus } from '../model/pool.js';
import type { Principal } from '../model/principal.js';

export interface DriverStatus {
  readonly uid: string;
  readonly namespace: string;
  /** `ip:port`; empty until there is one. */
  readonly address: string;
  readonly phase: DriverPhase;
  readonly reason: string | undefined;
  /** What discovery saw last; undefined when it did not see the driver. */
  readonly condition: ObservedDriver['condition'] | undefined;
  /** The name under which this gateway made it; undefined for a driver that someone else runs. */
  readonly resource: string | undefined;
  /** Whether Envoy is told of it. */
  readonly routable: boolean;
  readonly sessions: number;
  readonly tenant: { readonly principal: Principal; readonly team: string } | undefined;
  readonly createdAtMs: number;
  readonly phaseSinceMs: number;
  readonly drainDeadlineMs: number | undefined;
}

export interface PoolReport extends PoolStatus {
  readonly namespace: string;
  readonly size: number;
  readonly waiting: number;
  readonly available: number;
  readonly inUse: number;
  readonly draining: number;
  readonly sessions: number;
}

export interface FleetReport {
  readonly drivers: readonly DriverStatus[];
  readonly pools: readonly PoolReport[];
  /** What discovery reported that cannot be believed, and why drivers are withheld. */
  readonly problems: readonly string[];
  /** When discovery was last read as a whole; undefined before the first time. */
  readonly lastReadMs: number | undefined;
  /** Why the last read failed: until one succeeds, nothing changes. */
  readonly readError: string | undefined;
}

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
