/**
 * One look at a job: what is to be done by its record and by what is there. Each step may have been done
 * before, by whoever led then.
 */
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { GatewayError, GrpcStatus, reasonOf } from '../model/errors.js';
import { hasEnded, type JobReason, type JobReport, type JobState } from '../model/job.js';
import { cut } from '../model/telling-line.js';
import type { ApplicationStatus } from './backend.js';
import type { Backends } from './backends.js';
import {
  LONGEST_MESSAGE,
  LONGEST_RETRY_MS,
  type NextLook,
  overdue,
  type PendingLimit,
  untilDue,
} from './job-times.js';
import { keepLog } from './kept-log.js';
import type { JobLedger } from './records/job-ledger.js';
import { inState, isSubmitted, type JobRecord } from './records/job-record.js';
import { type Observation, type Reported, type Verdict, verdictOn } from './verdict.js';

export interface JobWorkOptions {
  readonly ledger: JobLedger;
  readonly backends: Backends;
  /** The report beside a job's output; undefined: there surely is none. Rejects while that is in doubt. */
  readonly readReport: (outputPath: string, id: string) => Promise<JobReport | undefined>;
  /** Deletes a job's results, where they are in a folder of the gateway's own; left out: they stay. */
  readonly deleteOutput?: ((outputPath: string) => Promise<void>) | undefined;
  /** A job that does not come to run in this time is ended. */
  readonly pendingLimitMs: number;
  /** How long a job is remembered after its end. */
  readonly retentionMs: number;
  /** Records at most: the oldest that have ended make room. */
  readonly mostRecords: number;
  readonly onEnded?: (record: JobRecord) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const SWEEP_AGAIN_MS = 1_000;
/** The operator deletes applications by itself, this long before we do. */
const TTL_MARGIN_MS = 60_000;

/** A log that could not be kept is given up after some attempts. */
export interface LogAttempts {
  failures: number;
}

export class JobWork {
  readonly #o: JobWorkOptions & { readonly onForgotten: () => void };
  /** Jobs that were told of first by their submission: nobody else has begun with them. */
  readonly #fresh = new Set<string>();

  constructor(options: JobWorkOptions & { readonly onForgotten: () => void }) {
    this.#o = options;
  }

  #limit(): PendingLimit {
    return { nowMs: this.#o.clock.now(), pendingLimitMs: this.#o.pendingLimitMs };
  }

  /** A job that was just submitted: its application surely was not made by anybody else. */
  submitted(id: string): void {
    this.#fresh.add(id);
  }

  async look(id: string, log: LogAttempts): Promise<NextLook> {
    const { ledger, backends } = this.#o;
    const record = ledger.get(id);
    if (!record) {
      this.#fresh.delete(id);
      return undefined;
    }
    const observation = backends.observe(record);
    if (hasEnded(record.state)) return this.#afterEnd(record, observation, log);
    if (record.end) return this.#end(record, observation);
    const due = overdue(record, observation, this.#limit());
    if (due) {
      await ledger.update(id, (current) =>
        hasEnded(current.state) || current.end
          ? current
          : { ...current, end: { by: 'leader', atMs: this.#o.clock.now(), reason: due } },
      );
      return 0;
    }
    if (!isSubmitted(record) && observation.kind !== 'doubt') {
      return this.#submit(record, observation);
    }
    return this.#follow(record, observation);
  }

  // Made.

  async #submit(record: JobRecord, observation: Observation): Promise<NextLook> {
    const { ledger, backends } = this.#o;
    const { id, namespace } = record.job;
    const backend = backends.get(record.cluster);
    if (!backend || !record.jobFile) {
      throw new Error(`cluster ${record.cluster} cannot be asked`);
    }
    // Whoever led before may have made it, and it may have run and be gone already.
    const mayHaveRun = observation.kind === 'none' && !this.#fresh.has(id);
    if (mayHaveRun && typeof (await this.#report(record)) === 'object') {
      await this.#noteSubmitted(id);
      return 0;
    }
    try {
      await backend.create({ ...record.job, jobFile: record.jobFile });
    } catch (error) {
      if (isDoubt(error)) {
        this.#fresh.delete(id);
        await this.#noteWaiting(record, error);
        throw error;
      }
      await this.#refused(record, error);
      return 0;
    }
    this.#fresh.delete(id);
    const made = await this.#noteSubmitted(id);
    this.#o.logger.info({ job: id, namespace, cluster: record.cluster }, 'a job was submitted');
    return untilDue(made, ledger.get(id)?.state ?? made.state, this.#limit());
  }

  #noteSubmitted(id: string): Promise<JobRecord> {
    return this.#o.ledger.update(id, (current) => {
      if (isSubmitted(current)) return current;
      const { jobFile: _, ...rest } = current;
      return { ...rest, submittedAtMs: this.#o.clock.now() };
    });
  }

  /** Why it is not made yet, where that is worth knowing: a quota that is used up, a cluster that does not answer. */
  async #noteWaiting({ job }: JobRecord, error: unknown): Promise<void> {
    const reason: JobReason = {
      code:
        error instanceof GatewayError && error.code === 'JOB_LIMIT_EXCEEDED'
          ? 'QUOTA_EXCEEDED'
          : 'SUBMISSION_DELAYED',
      message: cut(reasonOf(error), LONGEST_MESSAGE),
    };
    await this.#o.ledger.update(job.id, (current) =>
      hasEnded(current.state) || current.reason?.code === reason.code
        ? current
        : inState(current, current.state, reason, this.#o.clock.now()),
    );
  }

  /** By a cluster, for good: the next one is asked, or the job has failed. */
  async #refused(record: JobRecord, error: unknown): Promise<void> {
    const { ledger, backends, clock, logger } = this.#o;
    const message = cut(reasonOf(error), LONGEST_MESSAGE);
    logger.warn(
      { job: record.job.id, cluster: record.cluster, reason: message },
      'a job was refused',
    );
    const refusedBy = [...record.refusedBy, record.cluster];
    const next = backends.choose(record.job.namespace, refusedBy);
    const ended = await ledger.update(record.job.id, (current) => {
      if (hasEnded(current.state) || current.cluster !== record.cluster) return current;
      if (next) return { ...current, cluster: next.name, refusedBy };
      return this.#ended(
        { ...current, refusedBy },
        current.end ? endState(current) : 'FAILED',
        {
          code: 'SUBMISSION_REFUSED',
          message,
        },
        clock.now(),
      );
    });
    if (hasEnded(ended.state)) this.#o.onEnded?.(ended);
  }

  // Followed.

  async #follow(record: JobRecord, observation: Observation): Promise<NextLook> {
    const { ledger, backends } = this.#o;
    const { id, namespace } = record.job;
    const status = observation.kind === 'application' ? observation.status : undefined;
    let verdict = verdictOn(record, observation, 'not read');
    if (verdict.wantsReport) verdict = verdictOn(record, observation, await this.#report(record));
    if (observation.kind === 'none' && verdict.state === 'FAILED') {
      // Read afresh: of what has a driver left, nothing is concluded.
      const backend = backends.get(record.cluster);
      if (await backend?.remains(namespace, id)) {
        await backend?.delete(namespace, id);
        return SWEEP_AGAIN_MS;
      }
    }
    if (observation.kind === 'doubt' || verdict.reason?.code === 'RESULT_UNCONFIRMED') {
      return Math.min(LONGEST_RETRY_MS, untilDue(record, record.state, this.#limit()));
    }
    if (status?.retrying === true) await keepLog(this.#o, record, status.attempt);
    const seen = await this.#note(record, verdict, status);
    if (hasEnded(seen.state)) {
      this.#o.onEnded?.(seen);
      return 0;
    }
    return untilDue(seen, ledger.get(id)?.state ?? seen.state, this.#limit());
  }

  #note(
    { job }: JobRecord,
    verdict: Verdict,
    status: ApplicationStatus | undefined,
  ): Promise<JobRecord> {
    const nowMs = this.#o.clock.now();
    return this.#o.ledger.update(job.id, (current) => {
      if (hasEnded(current.state) || current.end) return current;
      const attempt = Math.max(current.attempt, status?.attempt ?? 0);
      const startedAtMs = current.startedAtMs ?? status?.startedAtMs;
      const applicationId = status?.applicationId ?? current.applicationId;
      const known =
        attempt === current.attempt &&
        startedAtMs === current.startedAtMs &&
        applicationId === current.applicationId
          ? current
          : {
              ...current,
              attempt,
              ...(startedAtMs === undefined ? {} : { startedAtMs }),
              ...(applicationId === undefined ? {} : { applicationId }),
            };
      if (hasEnded(verdict.state)) {
        const endedAtMs = Math.min(nowMs, status?.endedAtMs ?? nowMs);
        const { rowCount } = verdict;
        return this.#ended(
          rowCount === undefined ? known : { ...known, rowCount },
          verdict.state,
          verdict.reason,
          endedAtMs,
        );
      }
      // What a job waits for changes in its words all the time; its code tells.
      const same = known.state === verdict.state && known.reason?.code === verdict.reason?.code;
      return same ? known : inState(known, verdict.state, verdict.reason, nowMs);
    });
  }

  #ended(
    record: JobRecord,
    state: JobState,
    reason: JobReason | undefined,
    endedAtMs: number,
  ): JobRecord {
    const { jobFile: _, ...rest } = inState(record, state, reason, endedAtMs);
    return { ...rest, endedAtMs };
  }

  // Ended.

  /** Nothing of it may be left, whatever comes up late; then it has ended. */
  async #end(record: JobRecord, observation: Observation): Promise<NextLook> {
    const { ledger, backends, clock } = this.#o;
    const { id, namespace } = record.job;
    const backend = backends.get(record.cluster);
    if (!backend) throw new Error(`cluster ${record.cluster} cannot be asked`);
    if (observation.kind === 'application')
      await keepLog(this.#o, record, observation.status.attempt);
    await backend.delete(namespace, id);
    if (await backend.remains(namespace, id)) return SWEEP_AGAIN_MS;
    this.#fresh.delete(id);
    const ended = await ledger.update(id, (current) =>
      hasEnded(current.state)
        ? current
        : {
            ...this.#ended(current, endState(current), current.end?.reason, clock.now()),
            swept: true,
          },
    );
    this.#o.onEnded?.(ended);
    return 0;
  }

  async #afterEnd(
    record: JobRecord,
    observation: Observation,
    log: LogAttempts,
  ): Promise<NextLook> {
    const { ledger, backends, clock, retentionMs, mostRecords } = this.#o;
    const { id, namespace, ttlSeconds } = record.job;
    const endedAtMs = record.endedAtMs ?? clock.now();
    const nowMs = clock.now();
    if (observation.kind === 'application' && !record.end) {
      const { attempt } = observation.status;
      if (record.logOfAttempt < attempt && log.failures < 5) {
        if (!(await keepLog(this.#o, record, attempt))) log.failures += 1;
        return log.failures === 0 ? 0 : SWEEP_AGAIN_MS;
      }
    }
    const sweepAtMs = record.end ? endedAtMs : endedAtMs + ttlSeconds * 1000 + TTL_MARGIN_MS;
    const forgetAtMs = endedAtMs + retentionMs;
    const tooMany = ledger.size > mostRecords && id === oldestEnded(ledger)?.job.id;
    const present = observation.kind === 'application';
    const isToBeSwept = present && (nowMs >= Math.min(sweepAtMs, forgetAtMs) || tooMany);
    if (isToBeSwept) {
      const backend = backends.get(record.cluster);
      await backend?.delete(namespace, id);
      if (await backend?.remains(namespace, id)) return SWEEP_AGAIN_MS;
    }
    if (observation.kind === 'none' && !record.swept) {
      await ledger.update(id, (current) => (current.swept ? current : { ...current, swept: true }));
      return 0;
    }
    if (nowMs >= forgetAtMs || tooMany) {
      if (observation.kind === 'doubt') return LONGEST_RETRY_MS;
      await this.#deleteOutput(record);
      await ledger.delete(id);
      this.#o.onForgotten();
      return undefined;
    }
    return present
      ? Math.max(SWEEP_AGAIN_MS, Math.min(sweepAtMs, forgetAtMs) - nowMs)
      : forgetAtMs - nowMs;
  }

  /** Before the record: a job of the same id may be submitted as soon as that is gone. */
  async #deleteOutput({ job: { id, outputPath } }: JobRecord): Promise<void> {
    try {
      await this.#o.deleteOutput?.(outputPath);
    } catch (error) {
      // Records that stay would become ever more.
      const why = { job: id, output: outputPath, reason: reasonOf(error) };
      this.#o.logger.warn(why, 'the results of a job are left; delete them by hand');
    }
  }

  async #report({ job }: JobRecord): Promise<Reported> {
    try {
      return (await this.#o.readReport(job.outputPath, job.id)) ?? 'none';
    } catch (error) {
      this.#o.logger.warn({ job: job.id, reason: reasonOf(error) }, 'a report cannot be read');
      return 'doubt';
    }
  }
}

function endState({ end }: JobRecord): 'CANCELLED' | 'FAILED' {
  return end?.by === 'user' ? 'CANCELLED' : 'FAILED';
}

/** undefined: none has. */
export function oldestEnded(ledger: JobLedger): JobRecord | undefined {
  let oldest: JobRecord | undefined;
  for (const record of ledger.all()) {
    if (!hasEnded(record.state)) continue;
    if ((record.endedAtMs ?? 0) < (oldest?.endedAtMs ?? Infinity)) oldest = record;
  }
  return oldest;
}

/** Whether it is open what became of a request, or it is to be made again. */
function isDoubt(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return true;
  return (
    error.status === GrpcStatus.UNAVAILABLE ||
    error.status === GrpcStatus.INTERNAL ||
    error.code === 'JOB_LIMIT_EXCEEDED'
  );
}
