/** Envoys and authorization sidecars. */
import type { EnvoyView, XdsType } from '../../model/admin-api.js';
import type { LiveData } from './live-data.js';
import { Card, For, Title } from '../../lib/page/parts.js';
import { State } from './parts.js';
import { type Column, PlainTable, Table } from '../../lib/page/table.js';

export interface EnvoysProps {
  readonly data: LiveData;
  readonly query: URLSearchParams;
  readonly nowMs: number;
}

const TYPES: readonly XdsType[] = ['LDS', 'RDS', 'CDS', 'EDS', 'SDS', 'ECDS'];

export function Envoys({ data, query, nowMs }: EnvoysProps) {
  const envoys = [...data.envoys.values()];
  const { unknown } = data.status;
  const replicas = envoys.some(({ replica }) => replica !== undefined);
  return (
    <>
      <Title>Envoys</Title>
      {unknown === undefined ? null : (
        <p class="banner">Envoys of other replicas are not known here: {unknown}</p>
      )}
      <Rejections envoys={envoys} />
      <Table
        name="Envoys"
        rows={envoys}
        keyOf={({ node, address, replica = '' }) => `${node} ${address} ${replica}`}
        query={query}
        text={({ node, cluster, address, replica = '', types }) =>
          [node, cluster, address, replica, ...Object.values(types).map(({ state }) => state)].join(
            ' ',
          )
        }
        empty="No Envoy is connected."
        columns={[
          {
            title: 'Envoy',
            cell: ({ node }) => <span class="mono">{node}</span>,
            order: ({ node }) => node,
          },
          {
            title: 'Connected for',
            cell: ({ connectedSince }) => <For since={connectedSince} nowMs={nowMs} />,
            order: ({ connectedSince }) => connectedSince,
          },
          ...TYPES.map(typeColumn),
          { title: 'From', cell: ({ address }) => <span class="mono">{address}</span> },
          ...(replicas ? [replicaColumn] : []),
        ]}
      />
      <Card title="Authorization sidecars" wide>
        <PlainTable
          label="Authorization sidecars"
          rows={[...data.sidecars.values()]}
          keyOf={({ id }) => id}
          empty="The leader is asked by none, or nothing is heard of it here."
          columns={[
            { title: 'Sidecar', cell: ({ id, name }) => <span title={id}>{name || id}</span> },
            { title: 'Connected', cell: ({ connected }) => (connected ? 'yes' : 'no') },
            {
              title: 'Policy',
              cell: ({ policy }) => <span class="mono">{policy?.version ?? ''}</span>,
            },
            {
              title: 'Tried out',
              cell: ({ shadow }) => <span class="mono">{shadow?.version ?? ''}</span>,
            },
            { title: 'Mistake', cell: ({ policy }) => policy?.problem ?? '' },
            {
              title: 'Still to be told',
              cell: ({ pendingNotices }) => pendingNotices,
              numeric: true,
            },
          ]}
        />
      </Card>
    </>
  );
}

const replicaColumn: Column<EnvoyView> = {
  title: 'Connected to',
  cell: ({ replica = '' }) => <span class="mono">{replica}</span>,
  order: ({ replica = '' }) => replica,
};

function typeColumn(name: XdsType): Column<EnvoyView> {
  return {
    title: name,
    cell: ({ types }) => (
      <span title={types[name].version}>
        <State state={types[name].state} />
      </span>
    ),
    order: ({ types }) => types[name].state,
  };
}

function Rejections({ envoys }: { readonly envoys: readonly EnvoyView[] }) {
  const rejections = envoys.flatMap(({ node, types }) =>
    TYPES.flatMap((type) => {
      const { reason } = types[type];
      return reason === undefined ? [] : [{ node, type, reason }];
    }),
  );
  if (rejections.length === 0) return null;
  return (
    <section class="problems" aria-label="Rejected configuration">
      <h2>Rejected configuration</h2>
      <ul>
        {rejections.map(({ node, type, reason }) => (
          <li key={`${node} ${type}`}>
            <b>{node}</b> {type}: {reason}
          </li>
        ))}
      </ul>
    </section>
  );
}
