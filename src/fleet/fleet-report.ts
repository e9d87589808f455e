/** What operators see of the pools. */
import {
  hostPort,
  type DriverPhase,
  type DriverRecord,
  type ObservedDriver,
} from '../model/driver.js';
import { type FleetProblem, namespaceReference } from '../model/fleet-problem.js';
import type { PoolPolicy } from '../model/policy.js';
import { poolKey, type PoolName, type PoolStatus } from '../model/pool.js';
import type { DriverStatus, FleetReport, PoolReport } from '../model/reports.js';
import type { FleetPlan } from './fleet-plan.js';
import { liveByPool } from './pool-counts.js';
import type { StartFailures } from './pool-plan.js';
import type { Sightings } from './sightings.js';

/** Where a report takes its facts from. */
export interface FleetFacts extends Pick<FleetReport, 'lastReadMs' | 'readError' | 'writeError'> {
  readonly records: readonly DriverRecord[];
  readonly pools: readonly PoolName[];
  observed(uid: string): ObservedDriver | undefined;
  routable(uid: string): boolean;
  /** Whether what was made under this name is of a template that has changed since. */
  outdated(resource: string): boolean;
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
  const observed = facts.observed(record.uid);
  return {
    uid: record.uid,
    namespace: record.namespace,
    variant: record.variant,
    address: record.address === '' ? '' : hostPort(record.address, record.port),
    cluster: record.cluster?.name,
    phase: record.phase,
    reason: record.reason,
    condition: observed?.condition,
    pod: observed?.object?.name,
    node: observed?.node,
    outdated: record.resource !== undefined && facts.outdated(record.resource),
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
    draining: count('draining') + count('expired') + count('ending'),
    sessions: records.reduce((sum, record) => sum + Object.keys(record.sessions).length, 0),
  };
}

// What is wrong with drivers and pools, from what the controller saw and planned last.

export interface PoolFacts extends Pick<FleetPlan, 'withheld' | 'duplicated'> {
  readonly sightings: Sightings;
  /** By `poolKey`. */
  readonly failures: ReadonlyMap<string, StartFailures>;
  readonly readError: string | undefined;
  readonly writeError: string | undefined;
}

export function poolProblems(facts: PoolFacts): FleetProblem[] {
  const { sightings, withheld, duplicated, failures, readError, writeError } = facts;
  return [
    ...sightings.problems,
    ...[...duplicated].map((uid): FleetProblem => {
      const object = sightings.drivers.get(uid)?.object;
      const message = `Driver ${uid}: ${withheld.get(uid)}`;
      return { kind: 'address_duplicated', ...(object ? { object } : {}), message };
    }),
    ...[...failures].map(([pool, { reason }]): FleetProblem => {
      const [namespace = '', variant] = pool.split('/');
      const which = variant === undefined ? 'No driver' : `No driver of variant ${variant}`;
      const message = `${which} comes up: ${reason}`;
      return { kind: 'pool_failing', object: namespaceReference(namespace), message };
    }),
    ...(readError === undefined
      ? []
      : [{ kind: 'unreadable', message: `Discovery cannot be read: ${readError}` } as const]),
    ...(writeError === undefined
      ? []
      : [
          {
            kind: 'records_unwritable',
            message: `Driver records cannot be written: ${writeError}`,
          } as const,
        ]),
  ];
}
