/** Sessions, and one of them. */
import type { EndedSessionView, SessionView } from '../../model/admin-api.js';
import { Fetched } from './fetched.js';
import { dateAndTime } from '../../lib/page/format.js';
import type { LiveData } from './live-data.js';
import { Ago, Facts, For, Title } from '../../lib/page/parts.js';
import { DriverLink, PoolLink, SessionLink, State } from './parts.js';
import { type Column, PlainTable, Table } from '../../lib/page/table.js';

export interface SessionsProps {
  readonly data: LiveData;
  readonly query: URLSearchParams;
  readonly nowMs: number;
}

export function Sessions({ data, query, nowMs }: SessionsProps) {
  return (
    <>
      <Title>Sessions</Title>
      <Table
        name="sessions"
        rows={[...data.sessions.values()]}
        keyOf={({ id }) => id}
        query={query}
        text={textOf}
        empty="Nobody has a session now."
        columns={columns(nowMs)}
      />
    </>
  );
}

/** Sessions of one driver or pool. */
export function SessionList(props: {
  readonly sessions: readonly SessionView[];
  readonly nowMs: number;
}) {
  return (
    <PlainTable
      label="Sessions"
      rows={props.sessions}
      keyOf={({ id }) => id}
      columns={columns(props.nowMs)}
      empty="It has no session."
    />
  );
}

function columns(nowMs: number): readonly Column<SessionView>[] {
  return [
    { title: 'Session', cell: ({ id }) => <SessionLink id={id} />, order: ({ id }) => id },
    {
      title: 'Who',
      cell: ({ principal }) => <span title={principal.issuer}>{principal.subject}</span>,
      order: ({ principal }) => principal.subject,
    },
    {
      title: 'Pool',
      cell: ({ namespace }) => <PoolLink namespace={namespace} />,
      order: ({ namespace }) => namespace,
    },
    { title: 'State', cell: ({ state }) => <State state={state} />, order: ({ state }) => state },
    {
      title: 'Running',
      cell: ({ runningQueries }) => runningQueries ?? '–',
      order: ({ runningQueries }) => runningQueries ?? -1,
      numeric: true,
    },
    {
      title: 'Since',
      cell: ({ createdAt }) => <For since={createdAt} nowMs={nowMs} />,
      order: ({ createdAt }) => createdAt,
    },
    {
      title: 'Last RPC',
      cell: ({ lastActivityAt }) => <Ago at={lastActivityAt} nowMs={nowMs} />,
      order: ({ lastActivityAt }) => lastActivityAt,
    },
    {
      title: 'Driver',
      cell: ({ driver }) => <DriverLink uid={driver} />,
      order: ({ driver }) => driver,
    },
  ];
}

function textOf({
  id,
  principal,
  team,
  environment,
  namespace,
  state,
  driver,
}: SessionView): string {
  return [id, principal.subject, team, environment, namespace, state, driver].join(' ');
}

export interface SessionProps {
  readonly data: LiveData;
  readonly id: string;
  readonly nowMs: number;
  /** undefined: who looks may not. */
  readonly onRelease: (() => void) | undefined;
}

export function Session({ data, id, nowMs, onRelease }: SessionProps) {
  const session = data.sessions.get(id);
  return (
    <>
      <Title kind="Session">
        <span class="mono">{id}</span>
      </Title>
      {session ? (
        <Live session={session} data={data} nowMs={nowMs} onRelease={onRelease} />
      ) : (
        <Fetched<EndedSessionView>
          key={id}
          path={`sessions/${encodeURIComponent(id)}`}
          show={(ended) => <Ended session={ended} />}
        />
      )}
    </>
  );
}

function Live(props: Omit<SessionProps, 'id'> & { readonly session: SessionView }) {
  const { session, data, nowMs, onRelease } = props;
  const driver = data.drivers.get(session.driver);
  return (
    <>
      <Facts
        facts={[
          ['State', <State state={session.state} />],
          ['Who', session.principal.subject],
          ['Known from', session.principal.issuer],
          ['Team', session.team],
          ['Environment', session.environment],
          ['Pool', <PoolLink namespace={session.namespace} />],
          [
            'Driver',
            <DriverLink uid={session.driver} {...(driver ? { name: driver.name } : {})} />,
          ],
          ['Driver at', <span class="mono">{driver?.address ?? '–'}</span>],
          [
            'Since',
            <>
              {dateAndTime(session.createdAt)} (<For since={session.createdAt} nowMs={nowMs} />)
            </>,
          ],
          ['Last RPC', <Ago at={session.lastActivityAt} nowMs={nowMs} />],
          [
            'RPCs that run now',
            session.runningQueries ?? 'not known here: the leader is not heard',
          ],
        ]}
      />
      {onRelease ? (
        <div class="actions">
          <button type="button" class="danger" onClick={onRelease}>
            Release …
          </button>
        </div>
      ) : null}
    </>
  );
}

function Ended({ session }: { readonly session: EndedSessionView }) {
  return (
    <Facts
      facts={[
        ['State', <State state="ended" />],
        ['Who', session.principal.subject],
        ['Known from', session.principal.issuer],
        ['Pool', <PoolLink namespace={session.namespace} />],
        ['Driver', <DriverLink uid={session.driver} />],
        ['Ended', dateAndTime(session.endedAt)],
        ['How', session.end],
      ]}
    />
  );
}
