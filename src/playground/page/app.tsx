/** The page as a whole: header, banner, view. */
import type { ComponentChildren } from 'preact';
import { Frame } from '../../lib/page/frame.js';
import { Title } from '../../lib/page/parts.js';
import { signInPath } from '../../lib/page/request.js';
import { JobsView } from './jobs-view.js';
import type { PageState } from './page-state.js';
import { Workbench, type WorkbenchActions } from './workbench.js';

export interface AppActions extends WorkbenchActions {
  nextTheme(): void;
  signOut(): void;
  signedOut(): void;
}

interface AppProps {
  readonly state: PageState;
  readonly actions: AppActions;
  readonly nonce: string;
}

export function App({ state, actions, nonce }: AppProps) {
  const { route, start, theme, outcome, signedOut } = state;
  return (
    <Frame
      brand="Spark Playground"
      links={[
        { href: '/', text: 'Write', current: route.view === 'workbench' },
        { href: '/jobs', text: 'Your jobs', current: route.view === 'jobs' },
      ]}
      end={
        <a href="/docs" target="_blank">
          API
        </a>
      }
      who={start && { name: start.me.principal.subject, about: start.me.groups.join(', ') }}
      theme={theme}
      outcome={outcome}
      banner={
        signedOut ? (
          <>
            Your session is over; what you have written is kept.{' '}
            <a href={signInPath()}>Sign in again</a>
          </>
        ) : undefined
      }
      onTheme={() => actions.nextTheme()}
      onSignOut={() => actions.signOut()}
    >
      <View state={state} actions={actions} nonce={nonce} />
    </Frame>
  );
}

function View({ state, actions, nonce }: AppProps): ComponentChildren {
  const { route, start, startFailure, signedOut, nowMs } = state;
  if (!start) {
    if (startFailure === undefined) return <p class="loading">{signedOut ? '' : 'Loading …'}</p>;
    return (
      <p class="problems" role="alert">
        {startFailure} Trying again.
      </p>
    );
  }
  return (
    <>
      {/* Kept while another view is shown, with what undo brings back. */}
      <div hidden={route.view !== 'workbench'}>
        <h1
          class="visually-hidden"
          {...(route.view === 'workbench' ? { id: 'title' } : {})}
          tabIndex={-1}
        >
          Write and run a job
        </h1>
        <Workbench start={start} state={state} actions={actions} nonce={nonce} />
      </div>
      {route.view === 'jobs' ? (
        <JobsView
          query={route.query}
          choices={start.choices}
          nowMs={nowMs}
          onSignedOut={() => actions.signedOut()}
        />
      ) : null}
      {route.view === 'unknown' ? (
        <>
          <Title>Nothing is here</Title>
          <p>
            <a href="/">Write a job</a>
          </p>
        </>
      ) : null}
    </>
  );
}
