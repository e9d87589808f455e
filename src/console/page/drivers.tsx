/** Drivers, and one of them. */
import type { DriverDetailView, DriverView } from '../../model/admin-api.js';
import { Fetched } from './fetched.js';
import { dateAndTime } from '../../lib/page/format.js';
import type { LiveData } from './live-data.js';
import { Card, Facts, For, Title } from '../../lib/page/parts.js';
import { DriverLink, PoolLink, SessionLink, State } from './parts.js';
import { SessionList } from './sessions.js';
import { type Column, PlainTable, Table } from '../../lib/page/table.js';

export interface DriversProps {
  readonly data: LiveData;
  readonly query: URLSearchParams;
  readonly nowMs: number;
}

export function Drivers({ data, query, nowMs }: DriversProps) {
  return (
    <>
      <Title>Drivers</Title>
      <Table
        name="drivers"
        rows={[...data.drivers.values()]}
        keyOf={({ uid }) => uid}
        query={query}
        text={({ uid, name, namespace, phase, address, ...more }) => {
          const { cluster = '', variant = '', pod = '', node = '', problem = '' } = more;
          const what = more.outdated ? 'outdated' : '';
          return [
            uid,
            name,
            namespace,
            variant,
            phase,
            address,
            cluster,
            pod,
            node,
            problem,
            what,
          ].join(' ');
        }}
        empty="There are no drivers."
        columns={columns(nowMs)}
      />
    </>
  );
}

export function columns(nowMs: number): readonly Column<DriverView>[] {
  return [
    {
      title: 'Driver',
      cell: ({ uid, name }) => <DriverLink uid={uid} name={name} />,
      order: ({ name }) => name,
    },
    {
      title: 'Pool',
      cell: ({ namespace, variant }) => <PoolLink namespace={namespace} variant={variant} />,
      order: ({ namespace, variant = '' }) => `${namespace}/${variant}`,
    },
    { title: 'State', cell: ({ phase }) => <State state={phase} />, order: ({ phase }) => phase },
    {
      title: 'For',
      cell: ({ since }) => <For since={since} nowMs={nowMs} />,
      order: ({ since }) => since,
    },
    {
      title: 'Sessions',
      cell: ({ sessions }) => sessions,
      order: ({ sessions }) => sessions,
      numeric: true,
    },
    {
      title: 'Address',
      cell: ({ address, cluster }) => (
        <span class="mono">{cluster === undefined ? address : `${address} (${cluster})`}</span>
      ),
      order: ({ address }) => address,
    },
    {
      title: 'Answers',
      cell: ({ ready, condition }) => (ready ? 'yes' : (condition ?? 'not seen')),
      order: ({ ready }) => Number(ready),
    },
    { title: 'Why', cell: ({ problem = '' }) => <span class="why">{problem}</span> },
  ];
}

export interface DriverProps {
  readonly data: LiveData;
  readonly uid: string;
  readonly nowMs: number;
  /** undefined: who looks may not. */
  readonly act: ((kind: 'drain' | 'undrain' | 'evict') => void) | undefined;
}

export function Driver({ data, uid, nowMs, act }: DriverProps) {
  const driver = data.drivers.get(uid);
  const sessions = [...data.sessions.values()].filter((session) => session.driver === uid);
  return (
    <>
      <Title kind="Driver">
        <span class="mono">{driver?.name ?? uid}</span>
      </Title>
      {driver ? <Known driver={driver} nowMs={nowMs} /> : null}
      {driver && act ? (
        <div class="actions">
          <button
            type="button"
            disabled={driver.phase === 'expired' || driver.phase === 'ending'}
            onClick={() => act('drain')}
          >
            Drain …
          </button>
          {driver.phase === 'draining' ? (
            <button type="button" onClick={() => act('undrain')}>
              Undrain …
            </button>
          ) : null}
          <button type="button" class="danger" onClick={() => act('evict')}>
            Evict …
          </button>
        </div>
      ) : null}
      {driver ? (
        <Card title="Sessions" wide>
          <SessionList sessions={sessions} nowMs={nowMs} />
        </Card>
      ) : null}
      <Fetched<DriverDetailView>
        // Asked again when a session has come or gone.
        key={`${uid} ${sessions.map(({ id }) => id).join()} ${driver?.phase}`}
        path={`drivers/${encodeURIComponent(uid)}`}
        show={(detail) => <Detail detail={detail} live={driver !== undefined} />}
      />
    </>
  );
}

function Known({ driver, nowMs }: { readonly driver: DriverView; readonly nowMs: number }) {
  const { tenant, drainDeadline, problem, cluster, pod, node, outdated } = driver;
  return (
    <Facts
      facts={[
        ['State', <State state={driver.phase} />],
        ['For', <For since={driver.since} nowMs={nowMs} />],
        ['Pool', <PoolLink namespace={driver.namespace} variant={driver.variant} />],
        ['Address', <span class="mono">{driver.address || '–'}</span>],
        cluster === undefined ? undefined : ['Cluster', cluster],
        pod === undefined ? undefined : ['Pod', <span class="mono">{pod}</span>],
        node === undefined ? undefined : ['Node', <span class="mono">{node}</span>],
        outdated ? ['Outdated', 'yes: its template has changed since'] : undefined,
        ['Answers', driver.ready ? 'yes' : (driver.condition ?? 'not seen')],
        ['Envoy knows it', driver.routable ? 'yes' : 'no'],
        tenant ? ['Holds data of', `${tenant.principal.subject} (${tenant.team})`] : undefined,
        ['Made', dateAndTime(driver.createdAt)],
        drainDeadline === undefined ? undefined : ['Drained until', dateAndTime(drainDeadline)],
        problem === undefined ? undefined : ['Why', problem],
        ['UID', <span class="mono">{driver.uid}</span>],
      ]}
    />
  );
}

function Detail({ detail, live }: { readonly detail: DriverDetailView; readonly live: boolean }) {
  return (
    <>
      {live ? null : (
        <Facts
          facts={[
            ['State', <State state={detail.phase} />],
            ['Pool', <PoolLink namespace={detail.namespace} />],
            ['Since', dateAndTime(detail.since)],
            detail.problem === undefined ? undefined : ['Why', detail.problem],
          ]}
        />
      )}
      {detail.eventsProblem === undefined ? null : (
        <p class="empty">Its Events cannot be read: {detail.eventsProblem}</p>
      )}
      {detail.events === undefined || detail.events.length === 0 ? null : (
        <Card title="Events" wide>
          <PlainTable
            label="Events"
            rows={detail.events}
            keyOf={({ at, reason, message }) => `${at} ${reason} ${message}`}
            empty="There are none."
            columns={[
              { title: 'When', cell: ({ at }) => (at === '' ? '–' : dateAndTime(at)) },
              { title: 'Kind', cell: ({ type }) => type },
              { title: 'Reason', cell: ({ reason }) => reason },
              { title: 'About', cell: ({ object }) => object },
              { title: 'What', cell: ({ message }) => <span class="why">{message}</span> },
              { title: 'Times', cell: ({ count }) => count, numeric: true },
            ]}
          />
        </Card>
      )}
      <Card title="Ended sessions that are remembered" wide>
        <PlainTable
          label="Ended sessions"
          rows={detail.ended}
          keyOf={({ id }) => id}
          empty="There are none."
          columns={[
            { title: 'Session', cell: ({ id }) => <SessionLink id={id} /> },
            { title: 'How', cell: ({ end }) => end },
            { title: 'When', cell: ({ at }) => dateAndTime(at) },
          ]}
        />
      </Card>
      <p class="fine">
        Instance <span class="mono">{detail.instance}</span>, record of epoch {detail.epoch}.
      </p>
    </>
  );
}
