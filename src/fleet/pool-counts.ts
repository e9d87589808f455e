/** Which pools there are, and how many drivers each of them has. */
import type { DriverRecord, RequestedDriver } from '../model/driver.js';
import type { PoolPolicy } from '../model/policy.js';
import { poolKey, type PoolName } from '../model/pool.js';

export interface PoolCount extends PoolName {
  readonly drivers: number;
  readonly warming: number;
  readonly maximum: number;
}

export interface PoolsInput {
  readonly requested: readonly RequestedDriver[];
  /** Creations under way that `requested` need not show yet. */
  readonly creating: readonly PoolName[];
  /** Namespaces to look after although nothing exists in them. */
  readonly namespaces: Iterable<string>;
  /** With the size that it has now. */
  pool(pool: PoolName): PoolPolicy | undefined;
}

/** What people are shown of the last decision. */
export interface Planned {
  readonly withheld: ReadonlyMap<string, string>;
  /** Those of the withheld whose address another live driver has. */
  readonly duplicated: ReadonlySet<string>;
  /** By `poolKey`, each pool before its variants. */
  readonly pools: ReadonlyMap<string, PoolCount>;
}

export const NOTHING_PLANNED: Planned = {
  pools: new Map(),
  withheld: new Map(),
  duplicated: new Set(),
};

/** What a follower, which decides nothing, shows instead: the pools as the leader has recorded them. */
export function followedPools(
  input: Omit<PoolsInput, 'creating'>,
  records: readonly DriverRecord[],
): Planned {
  const recorded = new Set(records.map(({ resource }) => resource));
  const coming = new Map<string, number>();
  for (const request of input.requested) {
    if (recorded.has(request.resource)) continue;
    coming.set(poolKey(request), (coming.get(poolKey(request)) ?? 0) + 1);
  }
  const pools = countPools({ ...input, creating: [] }, records, coming, liveByPool(records));
  return { ...NOTHING_PLANNED, pools };
}

/** By `poolKey`, each pool before its variants. `coming`: drivers that have no record yet. */
export function countPools(
  input: PoolsInput,
  records: Iterable<DriverRecord>,
  coming: ReadonlyMap<string, number>,
  live: ReadonlyMap<string, readonly DriverRecord[]>,
): Map<string, PoolCount> {
  const pools = new Map<string, PoolCount>();
  for (const [key, pool] of poolsOf(input, records)) {
    const drivers = live.get(key) ?? [];
    const onTheirWay = coming.get(key) ?? 0;
    pools.set(key, {
      ...pool,
      drivers: drivers.length + onTheirWay,
      warming: onTheirWay + drivers.filter(({ phase }) => phase === 'warming').length,
      maximum: input.pool(pool)?.maximum ?? drivers.length,
    });
  }
  return pools;
}

export function liveByPool(records: Iterable<DriverRecord>): ReadonlyMap<string, DriverRecord[]> {
  const live = new Map<string, DriverRecord[]>();
  for (const record of records) {
    if (record.phase === 'gone') continue;
    const key = poolKey(record);
    const others = live.get(key);
    if (others) others.push(record);
    else live.set(key, [record]);
  }
  return live;
}

/** Every pool that there is something to do for, by its key, and each before its variants. */
function poolsOf(input: PoolsInput, records: Iterable<DriverRecord>): Map<string, PoolName> {
  const known: PoolName[] = [...records, ...input.requested, ...input.creating];
  const namespaces = new Set([...input.namespaces, ...known.map(({ namespace }) => namespace)]);
  const pools = new Map<string, PoolName>();
  for (const namespace of namespaces) {
    const variants = input.pool({ namespace })?.canaries?.map(({ variant }) => variant) ?? [];
    for (const variant of [undefined, ...variants]) {
      pools.set(poolKey({ namespace, variant }), { namespace, variant });
    }
  }
  for (const { namespace, variant } of known) {
    pools.set(poolKey({ namespace, variant }), { namespace, variant });
  }
  return pools;
}
