/** `pools`. */
import type { PoolView } from '../../model/admin-api.js';
import type { Shown, Column } from '../render.js';
import { poolKey } from '../../model/pool.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { filter, namespacedList } from '../options.js';
import { shownListing } from '../listing.js';

function columns(found: readonly PoolView[]): readonly Column<PoolView>[] {
  const canaries = found.some(({ variant }) => variant !== undefined);
  return [
    { title: 'NAMESPACE', value: ({ namespace }) => namespace },
    { title: 'VARIANT', value: ({ variant }) => variant ?? '', wide: !canaries },
    { title: 'TEAM', value: ({ team }) => team ?? '', wide: true },
    { title: 'ENVIRONMENT', value: ({ environment }) => environment ?? '', wide: true },
    { title: 'SIZE', value: ({ size }) => String(size) },
    { title: 'MAXIMUM', value: ({ maximum }) => String(maximum) },
    { title: 'DRIVERS', value: (pool) => String(pool.drivers) },
    { title: 'WARMING', value: ({ warming }) => String(warming) },
    { title: 'AVAILABLE', value: ({ available }) => String(available) },
    { title: 'IN USE', value: ({ inUse }) => String(inUse) },
    { title: 'DRAINING', value: ({ draining }) => String(draining) },
    { title: 'SESSIONS', value: ({ sessions }) => String(sessions) },
    { title: 'WAITING', value: ({ waiting }) => String(waiting ?? '') },
    { title: 'FAILURE', value: ({ failure }) => failure ?? '' },
  ];
}

export const pools: OnlineCommand = {
  name: 'pools',
  about: 'How many drivers each namespace has, in which phases.',
  options: [filter('team', 'Only those of this team.'), ...namespacedList],
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const { client, options } = context;
  const team = options.get('team');
  const namespace = options.get('namespace');
  const found = (await client.get<readonly PoolView[]>('pools')).filter(
    (pool) =>
      (team === undefined || pool.team === team) &&
      (namespace === undefined || pool.namespace === namespace),
  );
  return shownListing(context, {
    kind: 'pool',
    rows: found,
    nameOf: poolKey,
    columns,
    nothing: 'There is no pool.',
  });
}
