/** What the gateway remembers of a batch job. It is there before anything else of the job, and outlives all of it. */
import type { JobReason, JobState } from '../../model/job.js';
import type { JobToRun } from '../backend.js';

/** Fixed when the job was submitted. */
export interface Job extends Omit<JobToRun, 'jobFile'> {
  /** SHA-256 of its content, hexadecimal: the same id with another one is another job. */
  readonly fingerprint: string;
  /** The service that submitted it, as the policy names it. */
  readonly submittedBy: string;
  readonly sandbox: boolean;
  readonly createdAtMs: number;
  /** When it is ended at the latest. */
  readonly deadlineMs: number;
}

/** That the job is to end, whatever it does. Never taken back; a user's takes the place of the leader's. */
export interface EndIntent {
  /** `user`: it ends as CANCELLED; `leader`: as FAILED, for the reason. */
  readonly by: 'user' | 'leader';
  readonly atMs: number;
  readonly reason: JobReason;
}

export interface JobTransition {
  readonly state: JobState;
  readonly atMs: number;
  readonly reason?: JobReason;
}

export interface JobRecord {
  readonly job: Job;
  /** What coreetl_runner.py reads, gzipped: kept until the application surely exists, which has it then. */
  readonly jobFile?: Uint8Array;
  /** The backend that has it, or is asked for it. */
  readonly cluster: string;
  /** Backends that have refused it: it is surely in none of them. */
  readonly refusedBy: readonly string[];
  /** The application surely was made. */
  readonly submittedAtMs?: number;
  readonly state: JobState;
  readonly reason?: JobReason;
  /** The first states and the newest ones. */
  readonly history: readonly JobTransition[];
  /** Counted from 1; 0 before the first. */
  readonly attempt: number;
  readonly startedAtMs?: number;
  readonly end?: EndIntent;
  readonly endedAtMs?: number;
  /** Spark's id of the newest attempt. */
  readonly applicationId?: string;
  /** Of the last named result. */
  readonly rowCount?: bigint;
  /** The newest attempt whose log was kept; 0: none. */
  readonly logOfAttempt: number;
  /** It has ended and nothing of it is left. */
  readonly swept: boolean;
  /** Of the leader that wrote it. */
  readonly epoch: number;
}

const MOST_TRANSITIONS = 20;

/** The record in this state, with the transition in its history. The same record, where nothing changes. */
export function inState(
  record: JobRecord,
  state: JobState,
  reason: JobReason | undefined,
  atMs: number,
): JobRecord {
  if (record.state === state && sameReason(record.reason, reason)) return record;
  const { reason: _, ...rest } = record;
  const said = reason === undefined ? {} : { reason };
  return { ...rest, ...said, state, history: noted(record.history, { state, atMs, ...said }) };
}

/** A change of the reason alone takes the place of the newest transition: a job that waits is one line. */
function noted(history: readonly JobTransition[], next: JobTransition): readonly JobTransition[] {
  const last = history.at(-1);
  if (last?.state === next.state) return [...history.slice(0, -1), { ...next, atMs: last.atMs }];
  const [first] = history;
  const all = [...history, next];
  return first === undefined || all.length <= MOST_TRANSITIONS
    ? all
    : [first, ...all.slice(1 - MOST_TRANSITIONS)];
}

export function sameReason(a: JobReason | undefined, b: JobReason | undefined): boolean {
  return (
    a?.code === b?.code &&
    a?.message === b?.message &&
    a?.step === b?.step &&
    a?.line === b?.line &&
    a?.column === b?.column
  );
}

/** Whether its application surely was made. */
export function isSubmitted(record: JobRecord): boolean {
  return record.submittedAtMs !== undefined;
}
