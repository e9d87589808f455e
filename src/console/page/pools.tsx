/** Pools, and one of them. */
import type { PoolView } from '../../model/admin-api.js';
import { Fragment } from 'preact';
import { columns } from './drivers.js';
import { type LiveData, poolKey } from './live-data.js';
import { PoolChart } from './overview.js';
import { Card, Facts, Title } from '../../lib/page/parts.js';
import { PoolLink } from './parts.js';
import type { Past } from './page-state.js';
import { SessionList } from './sessions.js';
import { type Column, PlainTable, Table } from '../../lib/page/table.js';

export interface PoolsProps {
  readonly data: LiveData;
  readonly query: URLSearchParams;
}

export function Pools({ data, query }: PoolsProps) {
  return (
    <>
      <Title>Pools</Title>
      <Table
        name="pools"
        rows={[...data.pools.values()]}
        keyOf={poolKey}
        query={query}
        text={({ namespace, variant = '', team = '', environment = '', failure = '' }) =>
          [namespace, variant, team, environment, failure].join(' ')
        }
        empty="There are no pools."
        columns={[
          {
            title: 'Pool',
            cell: ({ namespace, variant }) => <PoolLink namespace={namespace} variant={variant} />,
            order: poolKey,
          },
          number('Available', ({ available }) => available),
          number('In use', ({ inUse }) => inUse),
          number('Warming', ({ warming }) => warming),
          number('Leaving', ({ draining }) => draining),
          number('Kept ready', ({ size }) => size),
          number('At most', ({ maximum }) => maximum),
          number('Sessions', ({ sessions }) => sessions),
          number('Waiting', ({ waiting }) => waiting),
          {
            title: 'Why none starts',
            cell: ({ failure = '' }) => <span class="why">{failure}</span>,
          },
        ]}
      />
    </>
  );
}

function number(title: string, read: (pool: PoolView) => number | undefined): Column<PoolView> {
  return {
    title,
    cell: (pool) => read(pool) ?? '–',
    order: (pool) => read(pool) ?? -1,
    numeric: true,
  };
}

export interface PoolProps {
  readonly data: LiveData;
  readonly past: Past | undefined;
  readonly namespace: string;
  readonly nowMs: number;
}

export function Pool({ data, past, namespace, nowMs }: PoolProps) {
  const within = (one: { readonly namespace: string }) => one.namespace === namespace;
  const pools = [...data.pools.values()].filter(within);
  return (
    <>
      <Title kind="Pool">{namespace}</Title>
      {pools.length === 0 ? (
        <p class="empty">It has no drivers, and nobody waits for one.</p>
      ) : null}
      {pools.map((pool) => (
        <Fragment key={poolKey(pool)}>
          {pool.variant === undefined ? null : <h2>Variant {pool.variant}, of a canary</h2>}
          <Known pool={pool} />
          <Card title="Drivers by state, last hour" wide>
            <PoolChart past={past} pool={pool} />
          </Card>
        </Fragment>
      ))}
      <Card title="Drivers" wide>
        <PlainTable
          label="Drivers"
          rows={[...data.drivers.values()].filter(within)}
          keyOf={({ uid }) => uid}
          columns={columns(nowMs)}
          empty="There are none."
        />
      </Card>
      <Card title="Sessions" wide>
        <SessionList sessions={[...data.sessions.values()].filter(within)} nowMs={nowMs} />
      </Card>
    </>
  );
}

function Known({ pool }: { readonly pool: PoolView }) {
  const { team, environment, failure } = pool;
  return (
    <Facts
      facts={[
        team === undefined ? undefined : ['Team', team],
        environment === undefined ? undefined : ['Environment', environment],
        ['Kept ready', pool.size],
        ['At most', pool.maximum],
        ['Drivers now', pool.drivers],
        ['Sessions', pool.sessions],
        ['Waiting', pool.waiting ?? 'not known here: the leader is not heard'],
        failure === undefined ? undefined : ['Why none starts', failure],
      ]}
    />
  );
}
