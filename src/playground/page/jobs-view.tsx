/** The jobs of whoever looks, newest first. Filters and page are in the address. */
import { Component, type ComponentChildren } from 'preact';
import { duration } from '../../lib/page/format.js';
import { setQuery } from '../../lib/page/navigation.js';
import { Ago, StateWord, Title } from '../../lib/page/parts.js';
import { ApiError, messageOf } from '../../lib/page/request.js';
import { PlainTable } from '../../lib/page/table.js';
import { jobStates } from '../../model/job.js';
import type { ChoicesView, JobListView, JobView } from '../../model/playground-api.js';
import { api } from './api.js';
import { tones } from './job-view.js';
import { jobPath } from './route.js';

interface Props {
  readonly query: URLSearchParams;
  readonly choices: ChoicesView;
  readonly nowMs: number;
  readonly onSignedOut: () => void;
}

interface State {
  readonly list?: JobListView;
  readonly failure?: string | undefined;
  readonly asking?: boolean;
}

const FILTERS = ['state', 'team', 'environment'] as const;
const PAGE_SIZE = 50;

export class JobsView extends Component<Props, State> {
  #asked = 0;

  override componentDidMount(): void {
    void this.#ask();
  }

  override componentDidUpdate({ query }: Props): void {
    if (query.toString() !== this.props.query.toString()) void this.#ask();
  }

  override render(
    { query, choices, nowMs }: Props,
    { list, failure, asking = false }: State,
  ): ComponentChildren {
    const choicesOf = { state: jobStates, team: choices.teams, environment: choices.environments };
    return (
      <>
        <Title>Your jobs</Title>
        <div class="choices">
          {FILTERS.map((name) => (
            <Filter
              key={name}
              name={name}
              values={choicesOf[name]}
              chosen={query.get(name) ?? ''}
            />
          ))}
          <button type="button" disabled={asking} onClick={() => void this.#ask()}>
            Look again
          </button>
        </div>
        <div aria-live="polite">
          {failure === undefined ? null : <p class="problems">{failure}</p>}
          {list === undefined && failure === undefined ? <p class="empty">Loading …</p> : null}
        </div>
        {list === undefined ? null : (
          <>
            <Jobs
              jobs={list.jobs}
              nowMs={nowMs}
              filtered={FILTERS.some((name) => query.has(name))}
            />
            <Pages query={query} next={list.next_page_token} />
          </>
        )}
      </>
    );
  }

  async #ask(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const query = new URLSearchParams(this.props.query);
    query.set('page_size', `${PAGE_SIZE}`);
    this.setState({ asking: true });
    let next: State;
    try {
      next = { list: await api.jobs(query), failure: undefined };
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.props.onSignedOut();
      next = { failure: messageOf(error) };
    }
    // Only the last question counts.
    if (asked === this.#asked) this.setState({ ...next, asking: false });
  }
}

function Filter({
  name,
  values,
  chosen,
}: {
  readonly name: (typeof FILTERS)[number];
  readonly values: readonly string[];
  readonly chosen: string;
}) {
  const all = chosen === '' || values.includes(chosen) ? values : [...values, chosen];
  return (
    <label>
      {{ state: 'State', team: 'Team', environment: 'Environment' }[name]}{' '}
      <select
        value={chosen}
        onChange={(event) => setQuery({ [name]: event.currentTarget.value, page_token: '' })}
      >
        <option value="">all</option>
        {all.map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </label>
  );
}

function Jobs({
  jobs,
  nowMs,
  filtered,
}: {
  readonly jobs: readonly JobView[];
  readonly nowMs: number;
  readonly filtered: boolean;
}) {
  return (
    <PlainTable
      label="Jobs"
      rows={jobs}
      keyOf={({ job_id: id }) => id}
      empty={filtered ? 'No job of yours fits the filter.' : 'You have submitted no job yet.'}
      columns={[
        {
          title: 'Job',
          cell: ({ job_id: id, job_name: name }) => (
            <a href={jobPath(id)} title={id}>
              {name}
            </a>
          ),
        },
        {
          title: 'State',
          cell: ({ state }) => <StateWord state={state} tone={tones[state]} />,
        },
        { title: 'Team', cell: ({ team }) => team },
        { title: 'Environment', cell: ({ environment }) => environment },
        { title: 'Submitted', cell: ({ created_at: at }) => <Ago at={at} nowMs={nowMs} /> },
        { title: 'Ran', cell: (job) => ranFor(job, nowMs), numeric: true },
        { title: 'Why', cell: ({ reason }) => <span class="why">{reason?.message}</span> },
      ]}
    />
  );
}

function ranFor({ started_at: started, ended_at: ended }: JobView, nowMs: number): string {
  if (started === null) return '–';
  return duration((ended === null ? nowMs : Date.parse(ended)) - Date.parse(started));
}

function Pages({ query, next }: { readonly query: URLSearchParams; readonly next: string | null }) {
  const to = (token: string | undefined): string => {
    const other = new URLSearchParams(query);
    if (token === undefined) other.delete('page_token');
    else other.set('page_token', token);
    return other.size === 0 ? '/jobs' : `/jobs?${other.toString()}`;
  };
  if (next === null && !query.has('page_token')) return null;
  return (
    <nav class="pages" aria-label="Pages">
      {query.has('page_token') ? <a href={to(undefined)}>Newest</a> : null}
      {next === null ? null : <a href={to(next)}>Older</a>}
    </nav>
  );
}
