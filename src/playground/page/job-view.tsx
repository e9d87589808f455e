/** One job: its state and what it waits for, its results, its log. */
import { clockTime, dateAndTime } from '../../lib/page/format.js';
import { Ago, Card, type Fact, Facts, For, StateWord, type Tone } from '../../lib/page/parts.js';
import { hasEnded, type JobState } from '../../model/job.js';
import type { JobReasonView, JobStatusView } from '../../model/playground-api.js';
import type { JobInView } from './job-follower.js';
import { safeHref } from './links.js';
import { LogView } from './log-view.js';
import { ResultsView } from './results-view.js';

export interface JobActions {
  readonly stop: () => void;
  readonly check: () => void;
  /** Left out: the editor does not have the manifest that the job was started with. */
  readonly goTo?: (line: number, column: number) => void;
  /** Left out: the editor has it, or this browser does not know it. */
  readonly openManifest?: () => void;
}

interface Props {
  readonly job: JobInView;
  readonly nowMs: number;
  readonly actions: JobActions;
}

export const tones: Readonly<Record<JobState, Tone>> = {
  PENDING: 'warming',
  RUNNING: 'busy',
  COMPLETED: 'good',
  FAILED: 'bad',
  CANCELLED: 'warning',
  UNKNOWN: 'warning',
};

export function JobView({ job, nowMs, actions }: Props) {
  const { id, status, failure, refused, log, logConnection, results } = job;
  if (!status) {
    return (
      <section class="job" aria-label="Job">
        <h2 class="mono">{id}</h2>
        {failure === undefined ? (
          <p class="empty">Loading …</p>
        ) : (
          <p class="problems" role="alert">
            {failure} {refused ? '' : 'Trying again.'}
          </p>
        )}
      </section>
    );
  }
  return (
    <section class="job" aria-label="Job">
      <h2>
        {status.job_name} <span class="mono id">{id}</span>
      </h2>
      {failure === undefined ? null : (
        <p class="banner" role="status">
          {failure} This is the state of{' '}
          {clockTime(new Date(job.checkedAtMs ?? nowMs).toISOString())}.
          {refused ? '' : ' Trying again.'}
        </p>
      )}
      <p class="now" role="status">
        <StateWord state={status.state} tone={tones[status.state]} />{' '}
        {status.cancelling && !hasEnded(status.state) ? 'It is being stopped. ' : ''}
        <Waiting status={status} nowMs={nowMs} />
      </p>
      {status.reason === null ? null : <Reason status={status} goTo={actions.goTo} />}
      <div class="actions">
        {hasEnded(status.state) ? null : (
          <button type="button" class="danger" disabled={status.cancelling} onClick={actions.stop}>
            Stop
          </button>
        )}
        <button type="button" onClick={actions.check}>
          Check status
        </button>
        <SparkLink status={status} />
        {actions.openManifest ? (
          <button type="button" onClick={actions.openManifest}>
            Edit the manifest that ran
          </button>
        ) : null}
      </div>
      <Facts facts={factsOf(job, status, nowMs)} />
      {results ? <ResultsView job={id} results={results} /> : null}
      <LogView log={log} connection={logConnection} />
      <Past status={status} />
    </section>
  );
}

/** Since when it is as it is. */
function Waiting({ status, nowMs }: { readonly status: JobStatusView; readonly nowMs: number }) {
  const { state, created_at: created, started_at: started, ended_at: ended } = status;
  const since = status.history.findLast((one) => one.state === state)?.at ?? created;
  if (hasEnded(state)) {
    const at = ended ?? since;
    return (
      <>
        <Ago at={at} nowMs={nowMs} />
        {started === null ? null : (
          <>
            , after <For since={started} nowMs={Date.parse(at)} />
          </>
        )}
      </>
    );
  }
  return (
    <>
      for <For since={since} nowMs={nowMs} />
    </>
  );
}

function Reason({
  status: { state, reason },
  goTo,
}: {
  readonly status: JobStatusView;
  readonly goTo: JobActions['goTo'] | undefined;
}) {
  if (!reason) return null;
  const isBad = state === 'FAILED' || state === 'UNKNOWN';
  return (
    <div class={isBad ? 'problems' : 'verdict waits'} role={isBad ? 'alert' : undefined}>
      <p class="what">
        {state === 'PENDING' ? 'It waits: ' : ''}
        {reason.message}
      </p>
      <p class="fine">
        {reason.code}
        {reason.step === undefined ? '' : `, step “${reason.step}”`}
        <Place reason={reason} goTo={goTo} />
      </p>
    </div>
  );
}

function Place({
  reason: { line, column = 1 },
  goTo,
}: {
  readonly reason: JobReasonView;
  readonly goTo: JobActions['goTo'] | undefined;
}) {
  if (line === undefined) return null;
  if (!goTo) return <>, line {line}</>;
  return (
    <>
      {' '}
      <button type="button" class="link" onClick={() => goTo(line, column)}>
        Go to line {line}
      </button>
    </>
  );
}

function SparkLink({ status }: { readonly status: JobStatusView }) {
  const href = safeHref(status.spark_ui_url, location.origin);
  if (href === undefined) return null;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {hasEnded(status.state) ? 'Spark history' : 'Spark UI'}
    </a>
  );
}

function factsOf(
  { checkedAtMs }: JobInView,
  status: JobStatusView,
  nowMs: number,
): readonly (Fact | undefined)[] {
  const { attempt, created_at: created, deadline, environment, sandbox, state, team } = status;
  return [
    ['Team', team],
    ['Environment', sandbox ? `${environment}, in the sandbox` : environment],
    ['Submitted', <Ago at={created} nowMs={nowMs} />],
    attempt > 1 ? ['Attempt', attempt] : undefined,
    deadline === null || hasEnded(state)
      ? undefined
      : ['Ends at the latest', dateAndTime(deadline)],
    checkedAtMs === undefined || hasEnded(state)
      ? undefined
      : ['Checked', clockTime(new Date(checkedAtMs).toISOString())],
  ];
}

function Past({ status: { history } }: { readonly status: JobStatusView }) {
  if (history.length === 0) return null;
  return (
    <Card title="States" wide>
      <ol class="past">
        {history.map(({ state, at, reason }) => (
          <li key={`${at} ${state}`}>
            <time dateTime={at}>{dateAndTime(at)}</time>{' '}
            <StateWord state={state} tone={tones[state]} /> {reason?.message}
          </li>
        ))}
      </ol>
    </Card>
  );
}
