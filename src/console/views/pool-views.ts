/** Pools as the admin API shows them. */
import type { PoolView } from '../../model/admin-api.js';
import type { DriverPhase } from '../../model/driver.js';
import { poolKey, type PoolName, variantPool } from '../../model/pool.js';
import type { DriverStatus, PoolReport } from '../../model/reports.js';
import type { ConsoleSources } from '../console-sources.js';

/**
 * Every namespace that has drivers, or that somebody waits for, or that is kept warm, by name; each
 * before its variants, of which one has a row of its own.
 */
export function poolViews({
  fleet,
  policy,
  hearsLeader,
}: Pick<ConsoleSources, 'fleet' | 'policy' | 'hearsLeader'>): readonly PoolView[] {
  const { drivers, pools } = fleet();
  const inForce = policy();
  const isKnown = hearsLeader();
  const live = drivers.filter(({ phase }) => phase !== 'gone');
  const reports = new Map(pools.map((report) => [poolKey(report), report]));
  const namespaces = [
    ...inForce.warmNamespaces,
    ...[...pools, ...live].map(({ namespace }) => namespace),
  ].flatMap((namespace) => [
    { namespace },
    ...(inForce.pool(namespace)?.canaries ?? []).map(({ variant }) => ({ namespace, variant })),
  ]);
  const named = [...namespaces, ...pools, ...live];
  const all = new Map(named.map((pool): [string, PoolName] => [poolKey(pool), pool]));
  return [...all]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { namespace, variant }]) => {
      const pool = inForce.pool(namespace);
      const own = pool && variantPool(pool, variant);
      const report = reports.get(key);
      return {
        namespace,
        ...(variant === undefined ? {} : { variant }),
        ...inForce.parseNamespace?.(namespace),
        size: report?.size ?? own?.size ?? 0,
        maximum: report?.maximum ?? own?.maximum ?? 0,
        ...counts(live.filter((driver) => poolKey(driver) === key)),
        ...plannedPart(report, isKnown),
      };
    });
}

function counts(drivers: readonly DriverStatus[]) {
  const count = (...phases: readonly DriverPhase[]) =>
    drivers.filter(({ phase }) => phases.includes(phase)).length;
  return {
    drivers: drivers.length,
    warming: count('warming'),
    available: count('available'),
    inUse: count('in_use'),
    draining: count('draining', 'expired', 'ending'),
    sessions: drivers.reduce((sum, { sessions }) => sum + sessions, 0),
  };
}

/** Drivers that are asked for but not seen yet are on their way up, too. */
function plannedPart(report: PoolReport | undefined, isKnown: boolean) {
  if (!report) return {};
  const { drivers, warming, waiting, failure } = report;
  if (!isKnown) return { drivers, warming };
  return { drivers, warming, waiting, ...(failure === undefined ? {} : { failure }) };
}
