/** The fleet at a glance. */
import type { PoolView } from '../../model/admin-api.js';
import type { ComponentChildren } from 'preact';
import { Chart, type Series } from './chart.js';
import { latency } from '../../lib/page/format.js';
import { type LiveData, poolKey } from './live-data.js';
import { Card, Title } from '../../lib/page/parts.js';
import { PoolLink } from './parts.js';
import { type Past, refusals } from './page-state.js';
import { PlainTable } from '../../lib/page/table.js';

export interface OverviewProps {
  readonly data: LiveData;
  readonly past: Past | undefined;
}

export function Overview({ data, past }: OverviewProps) {
  const { status, sessions, pools } = data;
  const { envoys, drivers } = status;
  const running = [...sessions.values()].reduce((sum, one) => sum + (one.runningQueries ?? 0), 0);
  const waiting = [...pools.values()].reduce((sum, pool) => sum + (pool.waiting ?? 0), 0);
  const bad = envoys.stale + envoys.nacked;
  return (
    <>
      <Title>Overview</Title>
      <Problems problems={status.problems} />
      <div class="tiles">
        <Tile
          name="Envoys in sync"
          value={`${envoys.synced} / ${envoys.connected}`}
          href="/envoys"
          tone={envoys.nacked > 0 ? 'bad' : bad > 0 || envoys.connected === 0 ? 'warning' : 'good'}
          note={
            envoys.connected === 0
              ? status.unknown === undefined
                ? 'none is connected'
                : 'none is connected to this replica'
              : `${envoys.stale} stale, ${envoys.nacked} rejecting`
          }
        />
        <Tile
          name="Sessions"
          value={sessions.size.toLocaleString('en')}
          href="/sessions"
          note={`${running} running RPCs, ${waiting} waiting`}
          tone={waiting > 0 ? 'warning' : 'none'}
        />
        <Tile
          name="Drivers available"
          value={drivers.available.toLocaleString('en')}
          href="/drivers"
          note={`${drivers.in_use} in use, ${drivers.warming} warming, ${drivers.draining + drivers.expired} leaving`}
        />
        <Tile
          name="Policy"
          value={<span class="mono">{status.policy.version.slice(0, 8)}</span>}
          href="/policy"
          tone={status.policy.problem === undefined ? 'good' : 'bad'}
          note={status.policy.problem === undefined ? 'as the file is now' : 'the file is not good'}
        />
      </div>
      {past ? <Charts past={past} /> : null}
      <PoolTable data={data} past={past} />
    </>
  );
}

function Problems({ problems }: { readonly problems: readonly string[] }) {
  if (problems.length === 0) return <p class="all-well">No problems are known.</p>;
  return (
    <section class="problems" aria-label="Problems">
      <h2>{problems.length === 1 ? 'A problem' : `${problems.length} problems`}</h2>
      <ul>
        {problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
      </ul>
    </section>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: ComponentChildren;
  readonly note: string;
  readonly href: string;
  readonly tone?: 'good' | 'warning' | 'bad' | 'none';
}

function Tile({ name, value, note, href, tone = 'none' }: TileProps) {
  return (
    <a class={`tile tone-${tone}`} href={href}>
      <span class="name">{name}</span>
      <span class="value">{value}</span>
      <span class="note">{note}</span>
    </a>
  );
}

function Charts({ past }: { readonly past: Past }) {
  const { samples, kept, intervalMs } = past;
  const span = { kept, intervalMs };
  const refused = refusals(samples);
  const rate = (perInterval: number) => Math.round((perInterval * 10_000) / intervalMs) / 10;
  const rpcs = samples.map(({ requests }) => requests && rate(requests.ended));
  return (
    <div class="cards">
      <Card title="Drivers by state, last hour">
        <Chart
          label="Drivers by state over the last hour"
          stacked
          {...span}
          series={phases(samples.map(({ pools }) => pools))}
        />
      </Card>
      <Card title="Sessions, last hour">
        <Chart
          label="Sessions over the last hour"
          {...span}
          series={[
            { name: 'live', tone: 'in-use', values: samples.map(({ sessions }) => sessions) },
          ]}
        />
      </Card>
      <Card title="Latency of RPCs that stream nothing">
        <Chart
          label="Quantiles of the latency over the last hour"
          {...span}
          show={latency}
          series={(['p50', 'p95', 'p99'] as const).map((name) => ({
            name,
            tone: name,
            values: samples.map(({ requests }) => requests?.latency?.[name]),
          }))}
        />
      </Card>
      <Card title="RPCs for each second">
        <Chart
          label="RPCs that ended in each second, over the last hour"
          {...span}
          series={[
            { name: 'ended', tone: 'in-use', values: rpcs },
            {
              name: 'failed',
              tone: 'draining',
              values: samples.map(({ requests }) => requests && rate(requests.failed)),
            },
          ]}
        />
      </Card>
      <Card title="Refused in the last hour">
        {refused.length === 0 ? (
          <p class="empty">Nothing was refused.</p>
        ) : (
          <ul class="bars">
            {refused.map(([code, total]) => (
              <li key={code}>
                <span>{code}</span>
                <Bar share={total / (refused[0]?.[1] ?? 1)} />
                <b>{total.toLocaleString('en')}</b>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </div>
  );
}

/** The number stands beside it. */
function Bar({ share }: { readonly share: number }) {
  return (
    <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="area tone-draining" width={100 * share} height="10" />
    </svg>
  );
}

type Counts = Readonly<Record<'warming' | 'available' | 'inUse' | 'draining', number>>;

export function phases(samples: readonly Counts[]): readonly Series[] {
  return [
    { name: 'in use', tone: 'in-use', values: samples.map(({ inUse }) => inUse) },
    { name: 'available', tone: 'available', values: samples.map(({ available }) => available) },
    { name: 'warming', tone: 'warming', values: samples.map(({ warming }) => warming) },
    { name: 'leaving', tone: 'draining', values: samples.map(({ draining }) => draining) },
  ];
}

function PoolTable({ data, past }: OverviewProps) {
  return (
    <Card title="Pools" wide>
      <PlainTable
        label="Pools"
        rows={byUrgency([...data.pools.values()]).slice(0, 50)}
        keyOf={poolKey}
        empty="There are no pools."
        columns={[
          {
            title: 'Pool',
            cell: ({ namespace, variant }) => <PoolLink namespace={namespace} variant={variant} />,
          },
          {
            title: 'Last hour',
            cell: (pool) => <PoolChart past={past} pool={pool} small />,
          },
          { title: 'Waiting', cell: ({ waiting }) => waiting ?? '–', numeric: true },
          { title: 'Available', cell: ({ available }) => available, numeric: true },
          { title: 'In use', cell: ({ inUse }) => inUse, numeric: true },
          { title: 'Warming', cell: ({ warming }) => warming, numeric: true },
          { title: 'Leaving', cell: ({ draining }) => draining, numeric: true },
          { title: 'Of at most', cell: ({ maximum }) => maximum, numeric: true },
          { title: 'Sessions', cell: ({ sessions }) => sessions, numeric: true },
          {
            title: 'Why none starts',
            cell: ({ failure = '' }) => <span class="why">{failure}</span>,
          },
        ]}
      />
      {data.pools.size > 50 ? (
        <p>
          <a href="/pools">All {data.pools.size} pools</a>
        </p>
      ) : null}
    </Card>
  );
}

function urgency({ failure, waiting = 0, available, inUse, maximum }: PoolView): readonly number[] {
  return [
    failure === undefined ? 0 : 1,
    waiting,
    available === 0 && inUse > 0 && inUse >= maximum ? 1 : 0,
  ];
}

/** What fails, then what waits, then what is all taken: nobody has to look for it. */
function byUrgency(pools: readonly PoolView[]): readonly PoolView[] {
  return pools.toSorted((one, other) => {
    const [a, b] = [urgency(one), urgency(other)];
    const at = a.findIndex((value, index) => value !== b[index]);
    if (at >= 0) return (b[at] ?? 0) - (a[at] ?? 0);
    return poolKey(one) < poolKey(other) ? -1 : 1;
  });
}

export function PoolChart(props: {
  readonly past: Past | undefined;
  readonly pool: Pick<PoolView, 'namespace' | 'variant'>;
  readonly small?: boolean;
}) {
  const { past, pool, small = false } = props;
  const key = poolKey(pool);
  const series = past && Object.hasOwn(past.pools, key) ? past.pools[key] : undefined;
  if (!past || !series) return null;
  const at = (index: number) => ({
    warming: series.warming[index] ?? 0,
    available: series.available[index] ?? 0,
    inUse: series.inUse[index] ?? 0,
    draining: series.draining[index] ?? 0,
  });
  return (
    <Chart
      label={`Drivers of ${key} by state over the last hour`}
      stacked
      small={small}
      kept={past.kept}
      intervalMs={past.intervalMs}
      series={phases(series.warming.map((_, index) => at(index)))}
    />
  );
}
