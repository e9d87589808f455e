/** Pools as the admin API shows them. */
import type { PoolView } from '../../model/admin-api.js';
import type { DriverPhase } from '../../model/driver.js';
import type { DriverStatus, PoolReport } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';

/** Every namespace that has drivers, or that somebody waits for, or that is kept warm, by name. */
export function poolViews({
  fleet,
  policy,
}: Pick<ConsoleSources, 'fleet' | 'policy'>): readonly PoolView[] {
  const { drivers, pools } = fleet();
  const inForce = policy();
  const live = drivers.filter(({ phase }) => phase !== 'gone');
  const reports = new Map(pools.map((report) => [report.namespace, report]));
  const namespaces = new Set([
    ...inForce.warmNamespaces,
    ...reports.keys(),
    ...live.map(({ namespace }) => namespace),
  ]);
  return [...namespaces].toSorted().map((namespace) => {
    const pool = inForce.pool(namespace);
    return {
      namespace,
      ...inForce.parseNamespace?.(namespace),
      size: pool?.size ?? 0,
      maximum: pool?.maximum ?? 0,
      ...counts(live.filter((driver) => driver.namespace === namespace)),
      ...leadersPart(reports.get(namespace)),
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
function leadersPart(report: PoolReport | undefined) {
  if (!report) return {};
  const { warming, waiting, failure } = report;
  return { warming, waiting, ...(failure === undefined ? {} : { failure }) };
}
