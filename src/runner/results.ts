/** What a job has left beside its output: the first rows, their schema, the count of all. */
import type { Job } from '#gen/spark_gateway/v1/batch_pb.js';
import { objectIn, type Storage } from '../lib/storage/storage.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import { hasEnded, jobStateOf } from '../model/job.js';
import { isObject } from '../model/json.js';

/** Written by coreetl/coreetl_runner.py. */
const PREVIEW = '_preview.json';
const SCHEMA = '_schema.json';
const STATUS = '_status.json';

/** The preview has 256 kB at most; a schema of thousands of columns has more than it. */
const LONGEST_PREVIEW = 512 * 1024;
const LONGEST_SCHEMA = 1024 * 1024;
const LONGEST_STATUS = 64 * 1024;

export interface Results {
  /** JSON: {"columns": [...], "rows": [[...]]}; empty: there is none. */
  readonly preview: string;
  /** Spark's schema as JSON; empty: there is none. */
  readonly schema: string;
  /** -1: not known. */
  readonly count: bigint;
  /** Why something of it is missing. */
  readonly problem?: GatewayError;
}

export const noResults: Results = { preview: '', schema: '', count: 0n };

/** Never rejects: what the state of a job is does not depend on its results. */
export async function readResults(
  job: Pick<Job, 'jobId' | 'state' | 'outputPath' | 'resultCount'>,
  storage: Storage,
  signal: AbortSignal,
): Promise<Results> {
  if (!hasEnded(jobStateOf(job.state)) || job.outputPath === '') return noResults;
  const problems: GatewayError[] = [];
  const read = async (name: string, maxBytes: number): Promise<unknown> => {
    try {
      const url = objectIn(job.outputPath, name);
      return await within(signal, url, readJson(storage, url, maxBytes, signal));
    } catch (error) {
      problems.push(toGatewayError(error));
      return undefined;
    }
  };
  const isKnown = job.resultCount >= 0n;
  const [preview, schema, status] = await Promise.all([
    read(PREVIEW, LONGEST_PREVIEW),
    read(SCHEMA, LONGEST_SCHEMA),
    isKnown ? undefined : read(STATUS, LONGEST_STATUS),
  ]);
  if (preview !== undefined && !isPreview(preview)) {
    problems.push(unusable(job.outputPath, 'has no list of columns with rows'));
  }
  const [problem] = problems;
  return {
    preview: isPreview(preview) ? JSON.stringify(preview) : '',
    schema: schema === undefined ? '' : JSON.stringify(schema),
    count: isKnown ? job.resultCount : countIn(status, job.jobId),
    ...(problem ? { problem } : {}),
  };
}

/** A file system that hangs cannot be told to stop. */
function within<T>(signal: AbortSignal, url: string, reading: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const tooLate = () => reject(unusable(url, 'cannot be read in time'));
    if (signal.aborted) tooLate();
    else signal.addEventListener('abort', tooLate, { once: true });
    reading.then(resolve, reject).finally(() => signal.removeEventListener('abort', tooLate));
  });
}

/** undefined: there is no such object. */
async function readJson(
  storage: Storage,
  url: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<unknown> {
  const bytes = await storage.read(url, maxBytes, signal);
  if (!bytes) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw unusable(url, 'is not JSON', cause);
  }
}

function isPreview(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { columns, rows } = value as { readonly columns?: unknown; readonly rows?: unknown };
  return Array.isArray(columns) && Array.isArray(rows) && rows.every((row) => Array.isArray(row));
}

/** Text, as JSON's numbers do not hold every int64. A report of another job says nothing. */
function countIn(status: unknown, jobId: string): bigint {
  if (!isObject(status)) return -1n;
  const { job_id: of, row_count: count } = status as Readonly<Record<string, unknown>>;
  return of === jobId && typeof count === 'string' && /^\d{1,18}$/.test(count)
    ? BigInt(count)
    : -1n;
}

function unusable(url: string, why: string, cause?: unknown): GatewayError {
  return new GatewayError('RESULTS_UNREADABLE', `What the job has left at ${url} ${why}.`, {
    cause,
  });
}
