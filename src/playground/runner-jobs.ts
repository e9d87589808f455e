/** Jobs of whoever asks: one, its results, its end, and all of them in pages. */
import { JobService } from '#gen/spark_gateway/v1/jobs_pb.js';
import { type Job } from '#gen/spark_gateway/v1/batch_pb.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { GatewayError } from '../model/errors.js';
import { isObject } from '../model/json.js';
import { hasEnded, jobStateOf } from '../model/job.js';
import type {
  CancelView,
  JobListView,
  JobStatusView,
  LogView,
  PreviewView,
  ResultsView,
} from '../model/playground-api.js';
import type { Asking, Runner, Runners } from './runners.js';
import { historyView, jobView } from './views.js';

const { describeJob, listJobs } = JobService.method;
const { check, cancel } = SparkRunnerService.method;

const STATUS_LINES = 1_000;
const PAGE_SIZE = 50;

export async function statusOf(
  jobId: string,
  asking: Asking,
  runners: Runners,
): Promise<JobStatusView> {
  const { job, logLines, logTruncated } = await described(jobId, STATUS_LINES, asking, runners);
  return {
    ...jobView(job),
    logs: logLines.join('\n'),
    logs_truncated: logTruncated,
    history: historyView(job),
  };
}

export async function logOf(
  jobId: string,
  lines: number,
  asking: Asking,
  runners: Runners,
): Promise<LogView> {
  const { job, logLines, logTruncated } = await described(jobId, lines, asking, runners);
  const state = jobStateOf(job.state);
  return { job_id: jobId, state, lines: logLines, truncated: logTruncated };
}

/** The Runner that knows the job. Rejects with JOB_UNKNOWN. */
export function runnerOf(jobId: string, asking: Asking, runners: Runners): Promise<Runner> {
  return runners.find(jobId, async (runner) => {
    await runner.ask(describeJob, { jobId }, asking);
    return runner;
  });
}

async function described(jobId: string, logLines: number, asking: Asking, runners: Runners) {
  const answer = await runners.find(jobId, (runner) =>
    runner.ask(describeJob, { jobId, logLines }, asking),
  );
  const { job } = answer;
  if (!job) throw new GatewayError('INTERNAL', 'The Runner answered without a job.');
  return { ...answer, job };
}

export async function cancelJob(
  jobId: string,
  asking: Asking,
  runners: Runners,
): Promise<CancelView> {
  const { success } = await runners.find(jobId, (runner) => runner.ask(cancel, { jobId }, asking));
  return { success };
}

/** Rejects with JOB_NOT_ENDED before the end, and with RESULTS_UNREADABLE while nothing of them can be read. */
export async function resultsOf(
  jobId: string,
  asking: Asking,
  runners: Runners,
): Promise<ResultsView> {
  const found = await runners.find(jobId, (runner) =>
    runner.ask(check, { jobId, includeResults: true }, asking),
  );
  const state = jobStateOf(found.state);
  if (!hasEnded(state)) {
    throw new GatewayError(
      'JOB_NOT_ENDED',
      `Job ${jobId} is ${state}: its results are there when it has ended.`,
    );
  }
  const problem = found.error.startsWith('RESULTS_UNREADABLE: ') ? found.error : undefined;
  const preview = parsed(found.resultPreview);
  if (problem !== undefined && preview === null) {
    throw new GatewayError('RESULTS_UNREADABLE', problem.slice('RESULTS_UNREADABLE: '.length));
  }
  return {
    preview: isPreview(preview) ? preview : null,
    count: countOf(found.resultCount),
    schema: parsed(found.resultSchema),
    output_path: found.outputPath,
    ...(problem === undefined ? {} : { problem }),
  };
}

function parsed(json: string): unknown {
  try {
    return json === '' ? null : JSON.parse(json);
  } catch {
    return null;
  }
}

function isPreview(value: unknown): value is PreviewView {
  return isObject(value) && Array.isArray(value['columns']) && Array.isArray(value['rows']);
}

function countOf(count: bigint): number | string | null {
  if (count < 0n) return null;
  return count <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(count) : String(count);
}

// Pages of all Runners' jobs: each Runner has pages of its own, and those are merged.

export interface JobFilter {
  readonly states: readonly string[];
  readonly team: string;
  readonly environment: string;
  readonly mine: boolean;
  readonly pageSize: number | undefined;
  readonly pageToken: string | undefined;
}

/** Where the next page begins at one Runner: in which of its pages, and after how many jobs of it. */
interface Cursor {
  readonly token: string;
  readonly skip: number;
}

type Cursors = Readonly<Record<string, Cursor>>;

export async function listOf(
  filter: JobFilter,
  asking: Asking,
  runners: Runners,
): Promise<JobListView> {
  const { states, team, environment, mine, pageSize = PAGE_SIZE } = filter;
  const asked = environment === '' ? runners.all() : [runners.of(environment)];
  const cursors = cursorsOf(filter.pageToken, asked);
  const pages = await Promise.all(
    asked.map(async (runner) => {
      const cursor = cursors[runner.id];
      if (!cursor) return { runner, jobs: [], cursor: { token: '', skip: 0 }, next: '' };
      const { jobs, nextPageToken: next } = await runner.ask(
        listJobs,
        { team, environment, states: [...states], mine, pageSize, pageToken: cursor.token },
        asking,
      );
      return { runner, jobs: jobs.slice(cursor.skip), cursor, next };
    }),
  );
  const shown = pages
    .flatMap(({ runner, jobs }) => jobs.map((job) => ({ runner, job })))
    .toSorted((a, b) => newestFirst(a.job, b.job))
    .slice(0, pageSize);
  for (const { job, runner } of shown) runners.note(job.jobId, runner);
  const next: Record<string, Cursor> = {};
  for (const { runner, jobs, cursor, next: token } of pages) {
    const taken = shown.filter((one) => one.runner === runner).length;
    if (taken < jobs.length) {
      next[runner.id] = { token: cursor.token, skip: cursor.skip + taken };
    } else if (token !== '') next[runner.id] = { token, skip: 0 };
  }
  return {
    jobs: shown.map(({ job }) => jobView(job)),
    next_page_token: Object.keys(next).length === 0 ? null : written(next),
  };
}

function newestFirst(a: Job, b: Job): number {
  return Number(b.createdAtMs - a.createdAtMs) || a.jobId.localeCompare(b.jobId);
}

function written(cursors: Cursors): string {
  return Buffer.from(JSON.stringify(cursors)).toString('base64url');
}

/** Throws ARGUMENT_INVALID for a token that is not from here. */
function cursorsOf(token: string | undefined, runners: readonly Runner[]): Cursors {
  if (token === undefined) {
    return Object.fromEntries(runners.map(({ id }) => [id, { token: '', skip: 0 }]));
  }
  const value = parsed(Buffer.from(token, 'base64url').toString('utf8'));
  if (isObject(value) && Object.values(value).every(isCursor)) {
    return Object.fromEntries(
      Object.entries(value).filter((entry): entry is [string, Cursor] => isCursor(entry[1])),
    );
  }
  throw new GatewayError(
    'ARGUMENT_INVALID',
    'The query has a page_token that is not from here: begin without one.',
  );
}

function isCursor(value: unknown): value is Cursor {
  return (
    isObject(value) &&
    typeof value['token'] === 'string' &&
    typeof value['skip'] === 'number' &&
    Number.isSafeInteger(value['skip']) &&
    value['skip'] >= 0
  );
}
