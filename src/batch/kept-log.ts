/** What is kept of a job's log beyond its application: the last lines of each attempt, gzipped. */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { reasonOf } from '../model/errors.js';
import { isObject } from '../model/json.js';
import { cut } from '../model/telling-line.js';
import type { BackendLogLine, BatchBackend } from './backend.js';
import type { Backends } from './backends.js';
import type { JobLedger } from './records/job-ledger.js';
import type { JobRecord } from './records/job-record.js';

const zip = promisify(gzip);
const unzip = promisify(gunzip);

export interface KeptAttempt {
  readonly attempt: number;
  /** There were lines before these. */
  readonly truncated: boolean;
  readonly lines: readonly Omit<BackendLogLine, 'attempt'>[];
}

const MOST_LINES = 2_000;
const MOST_BYTES = 256 * 1024;
const LONGEST_LINE = 4_096;
const MOST_ATTEMPTS = 5;
/** Of what was kept; more was put there by somebody else. */
const LARGEST_BYTES = 16 * 1024 * 1024;
/** To read the tail of a log. */
const TIMEOUT_MS = 10_000;

export interface LogKeeperParts {
  readonly ledger: JobLedger;
  readonly backends: Backends;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Keeps the end of an attempt's log, before its pod goes. Whether nothing is left to be kept. */
export async function keepLog(
  { ledger, backends, logger, clock }: LogKeeperParts,
  record: JobRecord,
  attempt: number,
): Promise<boolean> {
  const { id, namespace } = record.job;
  if (attempt === 0 || record.logOfAttempt >= attempt) return true;
  const backend = backends.get(record.cluster);
  if (!backend) return false;
  const gone = new AbortController();
  const limit = clock.setTimer(TIMEOUT_MS, () => gone.abort());
  try {
    const tail = await tailOf(backend, namespace, id, gone.signal);
    if (tail) {
      const kept = await unpackLog(await ledger.readLog(id));
      await ledger.writeLog(id, await packLog(withAttempt(kept, tail)));
    }
    await ledger.update(id, (current) =>
      current.logOfAttempt >= attempt ? current : { ...current, logOfAttempt: attempt },
    );
    return true;
  } catch (error) {
    logger.warn({ job: id, attempt, reason: reasonOf(error) }, 'the log of a job was not kept');
    return false;
  } finally {
    limit.cancel();
  }
}

/** The end of the newest attempt's log, as it is now; undefined: there is none. */
async function tailOf(
  backend: BatchBackend,
  namespace: string,
  id: string,
  signal: AbortSignal,
  mostLines = MOST_LINES,
): Promise<KeptAttempt | undefined> {
  const lines: BackendLogLine[] = [];
  let bytes = 0;
  let dropped = false;
  // One more than is kept tells whether there were more.
  for await (const line of backend.logs(namespace, id, {
    tail: mostLines + 1,
    follow: false,
    signal,
  })) {
    const kept = { ...line, text: cut(line.text, LONGEST_LINE) };
    lines.push(kept);
    bytes += sizeOf(kept);
    while (lines.length > mostLines || bytes > MOST_BYTES) {
      const first = lines.shift();
      if (!first) break;
      bytes -= sizeOf(first);
      dropped = true;
    }
  }
  const last = lines.at(-1);
  if (!last) return undefined;
  return {
    attempt: last.attempt,
    truncated: dropped,
    lines: lines
      .filter(({ attempt }) => attempt === last.attempt)
      .map(({ time, text }) => ({ time, text })),
  };
}

function sizeOf({ text, time }: BackendLogLine): number {
  return Buffer.byteLength(text) + time.length;
}

/** With this attempt in place of what was kept of it; the oldest attempts make room. */
function withAttempt(kept: readonly KeptAttempt[], attempt: KeptAttempt): readonly KeptAttempt[] {
  return [...kept.filter((other) => other.attempt !== attempt.attempt), attempt]
    .toSorted((a, b) => a.attempt - b.attempt)
    .slice(-MOST_ATTEMPTS);
}

function packLog(kept: readonly KeptAttempt[]): Promise<Uint8Array> {
  return zip(
    JSON.stringify({
      format: 1,
      attempts: kept.map(({ lines, ...attempt }) => ({
        ...attempt,
        lines: lines.map(({ time, text }) => [time, text]),
      })),
    }),
  );
}

/** Nothing, where it is not what `packLog` made. */
export async function unpackLog(bytes: Uint8Array | undefined): Promise<readonly KeptAttempt[]> {
  if (!bytes) return [];
  try {
    const json = await unzip(bytes, { maxOutputLength: LARGEST_BYTES });
    const value: unknown = JSON.parse(json.toString('utf8'));
    if (!isObject(value) || !Array.isArray(value['attempts'])) return [];
    return value['attempts'].flatMap((entry: unknown) => attemptOf(entry));
  } catch {
    return [];
  }
}

function attemptOf(entry: unknown): KeptAttempt[] {
  if (!isObject(entry)) return [];
  const { attempt, truncated, lines } = entry;
  if (typeof attempt !== 'number' || !Array.isArray(lines)) return [];
  return [
    {
      attempt,
      truncated: truncated === true,
      lines: lines.flatMap((line: unknown) => {
        if (!Array.isArray(line)) return [];
        const [time, text]: unknown[] = line;
        return typeof time === 'string' && typeof text === 'string' ? [{ time, text }] : [];
      }),
    },
  ];
}
