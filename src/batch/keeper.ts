/**
 * The leader's work on jobs: makes their applications, follows them, ends what is to end, sweeps up, and
 * keeps what is about to be lost. Level-triggered: each look at a job decides by its record and by what
 * is there, so that a look after a crash goes on wherever the crash was.
 */
import pLimit from 'p-limit';
import { Backoff, type Timer } from '../model/clock.js';
import { reasonOf, retryAfterOf } from '../model/errors.js';
import type { FleetProblem, ProblemSource } from '../model/fleet-problem.js';
import type { BatchBackend } from './backend.js';
import { LONGEST_RETRY_MS, type NextLook } from './job-times.js';
import { type JobWorkOptions, JobWork, type LogAttempts, oldestEnded } from './job-work.js';
import { isSubmitted } from './records/job-record.js';

/** Looks at jobs at a time: a slow one holds up no other, and callers wait for no crowd of them. */
const LOOKS_AT_ONCE = 8;
const RETRY_MS = 500;
const LOOK_AGAIN_MS = 20;
const LONGEST_AGAIN_MS = 1_000;
/** How long an end may take before people are told. */
const ENDING_PATIENCE_MS = 5 * 60_000;
const SUBMITTING_PATIENCE_MS = 2 * 60_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface JobKeeperOptions extends JobWorkOptions {
  readonly onFailedLook?: () => void;
}

interface Watched {
  timer: Timer | undefined;
  running: boolean;
  again: boolean;
  readonly backoff: Backoff;
  failure: string | undefined;
  readonly log: LogAttempts;
}

export class JobKeeper implements ProblemSource {
  readonly #o: JobKeeperOptions;
  readonly #work: JobWork;
  readonly #watched = new Map<string, Watched>();
  readonly #inTurn = pLimit(LOOKS_AT_ONCE);
  readonly #stops: (() => void)[] = [];
  #stopped = false;
  #looks = new Set<Promise<void>>();

  constructor(options: JobKeeperOptions) {
    this.#o = options;
    this.#work = new JobWork({ ...options, onForgotten: () => this.#makeRoom() });
  }

  start(): void {
    const { ledger, backends } = this.#o;
    this.#stops.push(
      ledger.onChange((id, found) => {
        if (found) this.look(id);
      }),
    );
    for (const backend of backends) {
      this.#stops.push(backend.onChange((namespace, id) => this.#changed(backend, namespace, id)));
      for (const { namespace, id } of backend.all()) this.#changed(backend, namespace, id);
    }
    for (const { job } of ledger.all()) this.look(job.id);
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const stop of this.#stops.splice(0)) stop();
    for (const { timer } of this.#watched.values()) timer?.cancel();
    this.#watched.clear();
    await Promise.allSettled(this.#looks);
  }

  /** A job that was just submitted: its application surely was not made by anybody else. */
  submitted(id: string): void {
    this.#work.submitted(id);
    this.look(id);
    this.#makeRoom();
  }

  #makeRoom(): void {
    const { ledger, mostRecords } = this.#o;
    const oldest = ledger.size > mostRecords ? oldestEnded(ledger) : undefined;
    if (oldest) this.look(oldest.job.id);
  }

  /** Looks at the job now, or once more when the look at it is over. */
  look(id: string): void {
    if (this.#stopped) return;
    const watched = this.#watch(id);
    if (watched.running) {
      watched.again = true;
      return;
    }
    watched.running = true;
    watched.timer?.cancel();
    const look = this.#inTurn(() => this.#look(id, watched)).finally(() =>
      this.#looks.delete(look),
    );
    this.#looks.add(look);
  }

  *problems(): Generator<FleetProblem, void> {
    const { ledger, clock } = this.#o;
    for (const { id, problem } of ledger.unreadable()) {
      yield {
        kind: 'job_unreadable',
        message: `The record of job ${id} cannot be read (${problem}). Nothing is decided about the job until it is corrected or deleted.`,
      };
    }
    const nowMs = clock.now();
    for (const record of ledger.live()) {
      const { job, end } = record;
      const failure = this.#watched.get(job.id)?.failure;
      const because = failure === undefined ? '' : `: ${failure}`;
      if (end && nowMs - end.atMs > ENDING_PATIENCE_MS) {
        yield {
          kind: 'job_not_ending',
          message: `Job ${job.id} in ${job.namespace} is to end, and something of it is still there${because}.`,
        };
      } else if (!isSubmitted(record) && nowMs - job.createdAtMs > SUBMITTING_PATIENCE_MS) {
        yield {
          kind: 'job_not_submitted',
          message: `The application of job ${job.id} in ${job.namespace} could not be made yet${because}.`,
        };
      }
    }
  }

  #watch(id: string): Watched {
    let watched = this.#watched.get(id);
    if (!watched) {
      watched = {
        timer: undefined,
        running: false,
        again: false,
        backoff: new Backoff(RETRY_MS, LONGEST_RETRY_MS),
        failure: undefined,
        log: { failures: 0 },
      };
      this.#watched.set(id, watched);
    }
    return watched;
  }

  #changed(backend: BatchBackend, namespace: string, id: string): void {
    const { ledger } = this.#o;
    const record = ledger.get(id);
    if (record) {
      this.look(id);
      if (record.cluster === backend.name && record.job.namespace === namespace) return;
    }
    this.#sweepStray(backend, namespace, id);
  }

  /** An application of ours that no record knows, or in a place where its record does not have it. */
  #sweepStray(backend: BatchBackend, namespace: string, id: string): void {
    if (this.#o.ledger.inDoubt(id) || this.#stopped) return;
    try {
      if (!backend.status(namespace, id)) return;
    } catch {
      return;
    }
    this.#o.logger.warn(
      { job: id, namespace, cluster: backend.name },
      'a stray application is ended',
    );
    backend.delete(namespace, id).catch((error: unknown) => {
      this.#o.logger.warn(
        { job: id, reason: reasonOf(error) },
        'a stray application is still there',
      );
    });
  }

  async #look(id: string, watched: Watched): Promise<void> {
    let next: NextLook;
    try {
      watched.again = false;
      next = this.#stopped ? undefined : await this.#work.look(id, watched.log);
      watched.backoff.reset();
      watched.failure = undefined;
    } catch (error) {
      watched.failure = reasonOf(error);
      this.#o.onFailedLook?.();
      this.#o.logger.warn({ job: id, reason: watched.failure }, 'a job is looked at again later');
      next = watched.backoff.next(retryAfterOf(error));
    }
    watched.running = false;
    if (this.#stopped) return;
    // What happened meanwhile may be this look's own doing: no look follows another without a pause.
    if (watched.again)
      next = watched.failure === undefined ? LOOK_AGAIN_MS : Math.min(next ?? 0, LONGEST_AGAIN_MS);
    if (next !== undefined) {
      const inMs = Math.min(Math.max(0, next), LONGEST_TIMER_MS);
      watched.timer = this.#o.clock.setTimer(inMs, () => this.look(id));
    } else if (!this.#o.ledger.get(id)) this.#watched.delete(id);
  }
}
