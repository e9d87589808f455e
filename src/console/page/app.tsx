/** The page as a whole: header, view, dialog. */
import type { MeView, SessionView } from '../../model/admin-api.js';
import type { ComponentChildren } from 'preact';
import { Activity } from './activity.js';
import { Confirmation } from './confirmation.js';
import type { ConnectionState } from './connection.js';
import { Driver, Drivers } from './drivers.js';
import { Envoys } from './envoys.js';
import { Explain } from './explain.js';
import { clockTime } from '../../lib/page/format.js';
import { Frame } from '../../lib/page/frame.js';
import { signInPath } from '../../lib/page/request.js';
import { Overview } from './overview.js';
import { OwnSessions } from './own-sessions.js';
import { Title } from '../../lib/page/parts.js';
import { Policy, PolicyHistory } from './policy.js';
import { Pool, Pools } from './pools.js';
import type { ViewName } from './route.js';
import { Session, Sessions } from './sessions.js';
import type { ActionTarget, OpenAction, PageState } from './page-state.js';
import { TriedOut } from './tried-out.js';
import { TryPolicy } from './try-policy.js';

export interface AppActions {
  confirm(target: ActionTarget): void;
  close(action: OpenAction, outcome: string): void;
  nextTheme(): void;
  signOut(): void;
}

interface AppProps {
  readonly state: PageState;
  readonly actions: AppActions;
}

const LINKS: readonly (readonly [string, string, readonly ViewName[]])[] = [
  ['/', 'Overview', ['overview']],
  ['/sessions', 'Sessions', ['sessions', 'session']],
  ['/drivers', 'Drivers', ['drivers', 'driver']],
  ['/pools', 'Pools', ['pools', 'pool']],
  ['/envoys', 'Envoys', ['envoys']],
  ['/policy', 'Policy', ['policy', 'history', 'explain', 'try', 'tried out']],
  ['/activity', 'Activity', ['activity']],
];

export function App({ state, actions }: AppProps) {
  const { route, data, me, action, connection, theme, outcome } = state;
  const problems = data?.status.problems.length ?? 0;
  return (
    <>
      <Frame
        brand="Spark Connect gateway"
        links={LINKS.map(([href, text, views]) => ({
          href,
          text,
          current: views.includes(route.view),
          ...(href === '/' ? { badge: { count: problems, about: `${problems} problems` } } : {}),
        }))}
        end={
          <span class={connection.kind === 'live' ? 'pulse live' : 'pulse'}>
            {connection.kind === 'live' ? 'Live' : 'Not live'}
          </span>
        }
        who={me && { name: me.principal.subject, about: me.groups.join(', '), role: me.role }}
        theme={theme}
        outcome={outcome}
        banner={bannerOf(state)}
        onTheme={() => actions.nextTheme()}
        onSignOut={() => actions.signOut()}
      >
        <View state={state} actions={actions} />
      </Frame>
      {action && data && me ? (
        <Confirmation
          key={action.opening}
          target={action.target}
          data={data}
          me={me}
          onClose={(closed) => actions.close(action, closed)}
        />
      ) : null}
    </>
  );
}

function bannerOf({ connection, data }: PageState): ComponentChildren {
  const stateOf = (sinceMs: number) =>
    data ? `This is the state of ${clockTime(new Date(sinceMs).toISOString())}. ` : '';
  switch (connection.kind) {
    case 'lost':
      return <>The connection is lost. {stateOf(connection.sinceMs)}Trying again.</>;
    case 'refused':
      return (
        <>
          The gateway does not show what happens now: {connection.message}{' '}
          {stateOf(connection.sinceMs)}Trying again.
        </>
      );
    case 'signed out':
      return (
        <>
          Your session is over. <a href={signInPath()}>Sign in again</a>
        </>
      );
    case 'connecting':
    case 'live':
    case 'no role':
      return undefined;
  }
}

function View({ state, actions }: AppProps): ComponentChildren {
  const { route, data, past, me, nowMs, connection } = state;
  if (connection.kind === 'no role') return <NoRole connection={connection} nowMs={nowMs} />;
  if (!data || !me) return <p class="loading">{waitingText(connection)}</p>;
  const { id, query } = route;
  const mayAct = me.role === 'admin';
  switch (route.view) {
    case 'overview':
      return <Overview data={data} past={past} />;
    case 'sessions':
      return <Sessions data={data} query={query} nowMs={nowMs} />;
    case 'session':
      return (
        <Session
          data={data}
          id={id}
          nowMs={nowMs}
          onRelease={
            mayAct || isOwn(data.sessions.get(id), me)
              ? () => actions.confirm({ kind: 'release', session: id })
              : undefined
          }
        />
      );
    case 'drivers':
      return <Drivers data={data} query={query} nowMs={nowMs} />;
    case 'driver':
      return (
        <Driver
          data={data}
          uid={id}
          nowMs={nowMs}
          act={mayAct ? (kind) => actions.confirm({ kind, driver: id }) : undefined}
        />
      );
    case 'pools':
      return <Pools data={data} query={query} />;
    case 'pool':
      return <Pool data={data} past={past} namespace={id} nowMs={nowMs} />;
    case 'envoys':
      return <Envoys data={data} query={query} nowMs={nowMs} />;
    case 'policy':
      return <Policy policy={data.policy} />;
    case 'history':
      return <PolicyHistory policy={data.policy} query={query} />;
    case 'explain':
      return <Explain forgeryToken={me.forgeryToken ?? ''} issuer={me.principal.issuer} />;
    case 'try':
      return <TryPolicy forgeryToken={me.forgeryToken ?? ''} />;
    case 'tried out':
      return <TriedOut />;
    case 'activity':
      return <Activity data={data} />;
    case 'unknown':
      return (
        <>
          <Title>Nothing is here</Title>
          <p>
            <a href="/">Go to the overview</a>
          </p>
        </>
      );
  }
}

/** Everybody may end what is theirs. */
function isOwn(session: SessionView | undefined, { principal }: MeView): boolean {
  return (
    session !== undefined &&
    session.principal.subject === principal.subject &&
    session.principal.issuer === principal.issuer
  );
}

function NoRole({
  connection,
  nowMs,
}: {
  readonly connection: ConnectionState & { kind: 'no role' };
  readonly nowMs: number;
}) {
  const { subject } = connection.me.principal;
  return (
    <>
      <Title>Your sessions</Title>
      <OwnSessions forgeryToken={connection.me.forgeryToken ?? ''} nowMs={nowMs} />
      <h2>You may not look at this gateway beyond them</h2>
      <p>
        {subject} is signed in, but the routing policy gives them no role: it needs a rule in{' '}
        <code>administration.read</code> or <code>administration.admin</code>. Ask whoever keeps the
        policy, or sign out and come back as somebody else.
      </p>
    </>
  );
}

function waitingText(connection: ConnectionState): string {
  return connection.kind === 'signed out' ? '' : 'Loading …';
}
