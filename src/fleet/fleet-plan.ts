/**
 * The whole decision of the pools, as a function of values: from what discovery and the factory
 * report, the records and the policy to the next records and what is to be made and deleted.
 */
import { withoutOldTombstones, withPhase } from '../model/driver-record.js';
import type {
  DriverRecord,
  ObservedDriver,
  RoutableDriver,
  SessionRecord,
} from '../model/driver.js';
import { poolKey, poolOfKey, type PoolName } from '../model/pool.js';
import { advance, hasSessions, isManaged, startTimeout } from './lifecycle.js';
import { countPools, liveByPool, type Planned, type PoolsInput } from './pool-counts.js';
import { planPool, afterFailure, type StartFailures } from './pool-plan.js';
import { type Deadlines } from './lifecycle.js';
import { routing } from './routing.js';
import { firstRecord, follow, seenAgain, type Sightings } from './sightings.js';

/** A driver or request of ours, by the name under which the factory knows it. */
export interface Resource extends PoolName {
  readonly resource: string;
}

interface FleetInput extends PoolsInput {
  readonly records: Iterable<DriverRecord>;
  readonly sightings: Sightings;
  readonly creating: readonly Resource[];
  /** Deletions that are under way or not to be asked for again yet. */
  readonly deleting: ReadonlySet<string>;
  /** Deletions that the factory has taken on. */
  readonly asked: ReadonlySet<string>;
  /** Requests that were waited for before their driver was seen. */
  readonly awaited: ReadonlySet<string>;
  /** What the record of a live driver was that the store has lost. */
  remembered(uid: string): DriverRecord | undefined;
  /** By `poolKey`. */
  readonly failures: ReadonlyMap<string, StartFailures>;
  waiting(pool: PoolName): number;
  routedSinceMs(uid: string): number | undefined;
  silentSinceMs(uid: string): number | undefined;
  /** Every connected Envoy has acknowledged the driver. */
  known(uid: string): boolean;
  /** The driver that an Envoy may reach at this address. */
  holderOf(driver: Pick<RoutableDriver, 'address' | 'port'>): string | undefined;
  /** Nothing can still lead a request to the driver that is gone. */
  forgotten(gone: DriverRecord): boolean;
  /** Whether no request of the session had an answer yet. */
  isUnanswered(session: SessionRecord): boolean;
  readonly canCreate: boolean;
  /** Whether it cannot be told now what exists in this namespace: nothing is made and given up there. */
  inDoubt(namespace: string): boolean;
  /** What the pool's drivers are made from now. */
  template(pool: PoolName): string | undefined;
  /** Before when no driver of the pool is to be made, by `poolKey`. */
  notBeforeMs(key: string): number | undefined;
  readonly tombstoneTtlMs: number;
  readonly epoch: number;
}

export interface FleetPlan extends Planned {
  /** New and changed records. */
  readonly records: readonly DriverRecord[];
  /** Uids of records that are not needed any more. */
  readonly forget: readonly string[];
  /** How many drivers to make. */
  readonly create: readonly (PoolName & { readonly count: number })[];
  /** To be deleted once `records` are durable. */
  readonly delete: readonly Resource[];
  readonly failures: ReadonlyMap<string, StartFailures>;
  readonly routable: readonly RoutableDriver[];
}

export function planFleet(input: FleetInput, deadlines: Deadlines): FleetPlan {
  const { nowMs } = deadlines;
  const before = new Map([...input.records].map((record) => [record.uid, record]));
  // A pool that is no more fails no more, and another template is tried at once.
  const failures = new Map(
    [...input.failures].filter(([key, { template }]) => {
      const pool = poolOfKey(key);
      return input.pool(pool) !== undefined && template === input.template(pool);
    }),
  );
  const failed = (pool: PoolName, reason: string) => {
    const key = poolKey(pool);
    failures.set(key, afterFailure(failures.get(key), reason, input.template(pool), nowMs));
  };

  const followed = followSightings(before, input, nowMs);
  const { routable, withheld, duplicated } = routing(
    followed.values(),
    (uid) => input.sightings.drivers.get(uid),
    (gone) => input.forgotten(gone),
    (driver) => input.holderOf(driver),
  );
  const routed = new Set(routable.map(({ uid }) => uid));

  const after = new Map<string, DriverRecord>();
  for (const [uid, record] of followed) {
    const next = advance(
      record,
      {
        driver: input.sightings.drivers.get(uid),
        inDoubt: input.sightings.doubtful.has(uid),
        policy: input.pool(record),
        routedSinceMs: routed.has(uid) ? input.routedSinceMs(uid) : undefined,
        known: routed.has(uid) && input.known(uid),
        withheld: withheld.get(uid),
        silentSinceMs: input.silentSinceMs(uid),
        isUnanswered: Object.values(record.sessions).every((one) => input.isUnanswered(one)),
        isAsked: record.resource !== undefined && input.asked.has(record.resource),
      },
      deadlines,
    );
    after.set(uid, withoutOldTombstones(next, nowMs, input.tombstoneTtlMs));
    const previous = before.get(uid)?.phase;
    if (!isManaged(next) || (previous !== undefined && previous !== 'warming')) continue;
    if (next.phase === 'available' || next.phase === 'in_use') failures.delete(poolKey(next));
    else if (next.phase !== 'warming' && next.drainDeadlineMs === undefined) {
      failed(next, next.reason ?? 'It ended before it came up.');
    }
  }

  const requests = planRequests(input, after, deadlines);
  for (const request of requests.failed) failed(request, request.reason);

  const live = liveByPool(after.values());
  const lingering = lingeringByPool(after.values(), input.sightings);
  const outdated = new Set(
    input.requested.filter((request) => request.outdated).map(({ resource }) => resource),
  );
  const pools = countPools(input, after.values(), requests.coming, live);
  const create: (PoolName & { readonly count: number })[] = [];
  for (const [key, { namespace, variant }] of pools) {
    const pool = { namespace, variant };
    const policy = input.pool(pool);
    if (policy?.schedule) deadlines.passed(policy.schedule.at(nowMs).untilMs);
    if (!policy || input.inDoubt(namespace)) continue;
    const plan = planPool(
      {
        policy,
        records: live.get(key) ?? [],
        observed: (uid) => input.sightings.drivers.get(uid),
        coming: requests.coming.get(key) ?? 0,
        lingering: lingering.get(key) ?? 0,
        waiting: input.waiting(pool),
        failures: failures.get(key),
        outdated: (resource) => outdated.has(resource),
        canCreate: input.canCreate,
      },
      deadlines,
    );
    const isAllowed = deadlines.passed(input.notBeforeMs(key) ?? 0);
    if (plan.create > 0 && isAllowed) create.push({ ...pool, count: plan.create });
    for (const [uid, reason] of plan.expire) {
      const record = after.get(uid);
      if (record) after.set(uid, withPhase(record, 'expired', nowMs, reason));
    }
  }

  const listed = new Set([
    ...input.requested.map(({ resource }) => resource),
    ...input.creating.map(({ resource }) => resource),
  ]);
  const wanted = (resource: string) => listed.has(resource) || input.deleting.has(resource);
  const forget = [...after.values()]
    .filter(
      (record) =>
        record.phase === 'gone' &&
        Object.values(record.tombstones).every(({ endedAtMs }) =>
          deadlines.passed(endedAtMs + input.tombstoneTtlMs),
        ) &&
        !(record.resource !== undefined && wanted(record.resource)) &&
        input.forgotten(record),
    )
    .map(({ uid }) => uid);

  return {
    records: [...after.values()].filter((record) => before.get(record.uid) !== record),
    forget,
    create,
    delete: [...requests.delete, ...endedDrivers(after.values(), listed)].filter(
      ({ resource }) => !input.deleting.has(resource),
    ),
    failures,
    routable,
    withheld,
    duplicated,
    pools,
  };
}

/** Every record in line with what was seen, and first records of drivers that are new. */
function followSightings(
  before: ReadonlyMap<string, DriverRecord>,
  input: FleetInput,
  nowMs: number,
): Map<string, DriverRecord> {
  const { drivers, doubtful } = input.sightings;
  const after = new Map<string, DriverRecord>();
  for (const [uid, record] of before) {
    const driver = drivers.get(uid);
    if (doubtful.has(uid)) after.set(uid, record);
    else if (mayReturn(record, driver) && input.forgotten(record)) {
      after.set(uid, seenAgain(record, driver, nowMs, input.epoch));
    } else after.set(uid, follow(record, driver, nowMs));
  }
  const requests = new Map(input.requested.map((request) => [request.resource, request]));
  for (const [uid, driver] of drivers) {
    if (before.has(uid) || driver.condition === 'ended') continue;
    const { resource } = driver;
    const remembered = input.remembered(uid);
    if (remembered) {
      after.set(uid, follow({ ...remembered, epoch: input.epoch }, driver, nowMs));
    } else if (driver.condition !== 'in_doubt') {
      const request = resource === undefined ? undefined : requests.get(resource);
      const isNew = resource !== undefined && input.awaited.has(resource);
      after.set(uid, firstRecord(driver, request, isNew, nowMs, input.epoch));
    }
  }
  return after;
}

/** A managed driver is never taken back after its end: it is deleted and replaced. */
function mayReturn(
  record: DriverRecord,
  driver: ObservedDriver | undefined,
): driver is ObservedDriver {
  return (
    record.phase === 'gone' &&
    !isManaged(record) &&
    driver !== undefined &&
    driver.condition !== 'ended'
  );
}

/** What is to be deleted of drivers that have ended or are to end. `listed`: what the factory still shows. */
function endedDrivers(records: Iterable<DriverRecord>, listed: ReadonlySet<string>): Resource[] {
  return [...records]
    .filter(isManaged)
    .filter(
      (record) =>
        (record.phase === 'expired' && !hasSessions(record)) ||
        ((record.phase === 'ending' || record.phase === 'gone') && listed.has(record.resource)),
    )
    .map(({ resource, namespace, variant }) => ({ resource, namespace, variant }));
}

/** How many drivers of ours exist although their record is gone: they were restarted under their uid. */
function lingeringByPool(
  records: Iterable<DriverRecord>,
  { drivers }: Sightings,
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const record of records) {
    const driver = drivers.get(record.uid);
    if (record.phase !== 'gone' || !isManaged(record)) continue;
    if (driver === undefined || driver.condition === 'ended' || driver.overdue === true) continue;
    const key = poolKey(record);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

// Requests to the factory of which no driver has come yet: waited for, adopted, or given up.

export interface RequestPlan {
  /** Requests that may still become drivers, by `poolKey`. */
  readonly coming: ReadonlyMap<string, number>;
  readonly failed: readonly (PoolName & { readonly reason: string })[];
  readonly delete: readonly Resource[];
}

function planRequests(
  input: FleetInput,
  records: ReadonlyMap<string, DriverRecord>,
  deadlines: Deadlines,
): RequestPlan {
  const recorded = new Set([...records.values()].map(({ resource }) => resource));
  const ended = new Map(
    [...input.sightings.drivers.values()]
      .filter(({ condition }) => condition === 'ended')
      .map((driver) => [driver.resource, driver.reason ?? 'It ended before it came up.']),
  );
  const coming = new Map<string, number>();
  const failed: (PoolName & { readonly reason: string })[] = [];
  const toDelete: Resource[] = [];
  const expect = (pool: PoolName) => {
    const key = poolKey(pool);
    coming.set(key, (coming.get(key) ?? 0) + 1);
  };

  const listed = new Set<string>();
  for (const request of input.requested) {
    const { resource, namespace, variant, createdAtMs, failure } = request;
    const pool: PoolName = { namespace, variant };
    listed.add(resource);
    if (recorded.has(resource)) continue;
    if (request.inDoubt === true) {
      expect(pool);
      continue;
    }
    const reason = failure ?? ended.get(resource);
    if (input.deleting.has(resource)) {
      // Until it is deleted it may still come up, so it keeps its place.
      if (reason === undefined) expect(pool);
      continue;
    }
    const policy = input.pool(pool);
    if (reason !== undefined) {
      failed.push({ ...pool, reason });
      toDelete.push({ ...pool, resource });
    } else if (!policy) {
      toDelete.push({ ...pool, resource });
    } else {
      expect(pool);
      if (deadlines.passed(createdAtMs + policy.startTimeoutMs)) {
        failed.push({ ...pool, reason: startTimeout(policy.startTimeoutMs, request.reason) });
        toDelete.push({ ...pool, resource });
      }
    }
  }
  for (const { resource, ...pool } of input.creating) {
    if (!listed.has(resource) && !recorded.has(resource)) expect(pool);
  }
  return { coming, failed, delete: toDelete };
}
