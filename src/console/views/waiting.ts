/** Who waits for a driver that others hold. */
import { type PoolName, poolKey } from '../../model/pool.js';
import type { DriverStatus } from '../../model/reports.js';
import type { ConsoleSources } from '../console-sources.js';
import { sessionViews } from './session-views.js';

const HOLDERS_NAMED = 3;

/** A sentence for each pool that may have no more drivers and whose drivers are all taken, while somebody waits. */
export function waitingSentences(
  sources: Pick<ConsoleSources, 'fleet' | 'ledger' | 'activity'>,
): readonly string[] {
  const { pools, drivers } = sources.fleet();
  return pools.flatMap((pool) => {
    if (pool.waiting === 0 || pool.drivers < pool.maximum) return [];
    const own = drivers.filter(
      (driver) => driver.phase !== 'gone' && poolKey(driver) === poolKey(pool),
    );
    if (own.length === 0 || !own.every(isHeld)) return [];
    return [
      `${nameOf(pool)}: ${waiting(pool.waiting)} ${taken(own.length)} ${holders(sources, own)}`,
    ];
  });
}

/** In use, on its way out with sessions, or kept for one tenant. */
function isHeld({ phase, sessions, tenant }: DriverStatus): boolean {
  return phase === 'in_use' || sessions > 0 || (phase === 'available' && tenant !== undefined);
}

function nameOf({ namespace, variant }: PoolName): string {
  return `Namespace ${namespace}${variant === undefined ? '' : `, variant ${variant}`}`;
}

function waiting(count: number): string {
  return count === 1 ? '1 session waits for a driver.' : `${count} sessions wait for a driver.`;
}

function taken(count: number): string {
  return count === 1
    ? 'The one that the pool may have is held:'
    : `All ${count} that the pool may have are held:`;
}

function holders(
  sources: Pick<ConsoleSources, 'fleet' | 'ledger' | 'activity'>,
  own: readonly DriverStatus[],
): string {
  const uids = new Set(own.map(({ uid }) => uid));
  const sessions = sessionViews(sources)
    .filter(({ driver }) => uids.has(driver))
    .toSorted((a, b) => (a.lastActivityAt < b.lastActivityAt ? -1 : 1));
  const named = sessions
    .slice(0, HOLDERS_NAMED)
    .map(({ id, principal, lastActivityAt, runningQueries }) => {
      const quiet = runningQueries ? 'which runs now' : `quiet since ${lastActivityAt}`;
      return `session ${id} of ${principal.subject}, ${quiet}`;
    });
  const kept = own
    .filter(({ sessions: count }) => count === 0)
    .slice(0, Math.max(0, HOLDERS_NAMED - named.length))
    .map(({ uid, tenant }) => `driver ${uid}, kept for ${tenant?.principal.subject ?? 'nobody'}`);
  const more = Math.max(0, sessions.length - HOLDERS_NAMED);
  const rest = more === 0 ? '' : `; and ${more} more`;
  const what =
    sessions.length > 0
      ? '"spark-gateway release <session>" ends one.'
      : '"spark-gateway evict <driver>" ends one.';
  return `${[...named, ...kept].join('; ')}${rest}. ${what}`;
}
