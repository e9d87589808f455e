/** Pools as the admin API shows them. */
import type { DriverPhase } from '../../model/driver.js';
import type { DriverStatus, PoolReport } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';

export interface PoolView {
  readonly namespace: string;
  /** Absent for a namespace that the policy's pattern does not make. */
  readonly team?: string;
  readonly environment?: string;
  /** Drivers kept ready ahead of demand. */
  readonly size: number;
  readonly maximum: number;
  /** Those that there are, in any phase. */
  readonly drivers: number;
  readonly warming: number;
  readonly available: number;
  readonly inUse: number;
  /** On their way out. */
  readonly draining: number;
  readonly sessions: number;
  /** Sessions that wait for a driver; only the leader knows. */
  readonly waiting?: number;
  /** Why the last attempt to start a driver failed, until one succeeds; only the leader knows. */
  readonly failure?: string;
}

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
    draining: count('draining', 'expired'),
    sessions: drivers.reduce((sum, { sessions }) => sum + sessions, 0),
  };
}

/** Drivers that are asked for but not seen yet are on their way up, too. */
function leadersPart(report: PoolReport | undefined) {
  if (!report) return {};
  const { warming, waiting, failure } = report;
  return { warming, waiting, ...(failure === undefined ? {} : { failure }) };
}
