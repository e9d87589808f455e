/** What only a leader has of batch jobs: their records, whoever keeps them, and the answers. Made for one term. */
import type { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { Backoff, type Clock, type Timer } from '../model/clock.js';
import { GatewayError, reasonOf, retryAfterOf } from '../model/errors.js';
import type { FleetProblem, ProblemSource } from '../model/fleet-problem.js';
import type { JobState } from '../model/job.js';
import type { Leadership } from '../model/ledger.js';
import { addBatchService } from './batch-service.js';
import { BatchJobs, type BatchJobsOptions } from './batch-jobs.js';
import { JobKeeper, type JobKeeperOptions } from './keeper.js';
import { type JobLedger, openJobLedger } from './records/job-ledger.js';
import type { JobStore } from './records/job-store.js';

export type BatchTermOptions = Omit<
  BatchJobsOptions & JobKeeperOptions,
  'ledger' | 'keeper' | 'leadership'
> & {
  readonly store: JobStore;
  /** Of this term alone. */
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
};

const RETRY_MS = 500;
const LONGEST_RETRY_MS = 8_000;

interface Open {
  readonly ledger: JobLedger;
  readonly keeper: JobKeeper;
  readonly jobs: BatchJobs;
}

export class BatchTerm implements ProblemSource {
  readonly #options: BatchTermOptions;
  readonly #backoff = new Backoff(RETRY_MS, LONGEST_RETRY_MS);
  #open: Open | undefined;
  #opening: Promise<void> | undefined;
  #failure: string | undefined;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: BatchTermOptions) {
    this.#options = options;
  }

  /** Begins to read the records; until they have been read, callers are told to come back. */
  start(): void {
    this.#opening = this.#read();
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    await this.#opening;
    this.#open?.ledger.close();
    await this.#open?.keeper.stop();
  }

  addServices(server: Server): void {
    addBatchService(server, { jobs: () => this.jobs(), logger: this.#options.logger });
  }

  jobs(): BatchJobs {
    if (this.#open && !this.#stopped) return this.#open.jobs;
    throw new GatewayError(
      'CONTROL_PLANE_UNAVAILABLE',
      'The control plane is about to read the records of jobs; ask again in a moment.',
      { retryAfterMs: 1_000 },
    );
  }

  *problems(): Generator<FleetProblem, void> {
    if (this.#open) yield* this.#open.keeper.problems();
    else if (this.#failure !== undefined) {
      yield { kind: 'unreadable', message: `The records of jobs cannot be read: ${this.#failure}` };
    }
  }

  /** How many jobs are remembered in each state. */
  counts(): ReadonlyMap<JobState, number> {
    const counts = new Map<JobState, number>();
    for (const { state } of this.#open?.ledger.all() ?? []) {
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    return counts;
  }

  async #read(): Promise<void> {
    const { clock, logger, leadership } = this.#options;
    try {
      const ledger = await openJobLedger(this.#options);
      if (this.#stopped || leadership.epoch() === undefined) {
        ledger.close();
        return;
      }
      const keeper = new JobKeeper({ ...this.#options, ledger });
      const jobs = new BatchJobs({ ...this.#options, ledger, keeper });
      this.#open = { ledger, keeper, jobs };
      this.#failure = undefined;
      logger.info({ jobs: ledger.size }, 'every record of a job was read');
      keeper.start();
    } catch (error) {
      this.#failure = reasonOf(error);
      logger.error({ err: error }, 'the records of jobs cannot be read');
      if (this.#stopped || leadership.epoch() === undefined) return;
      this.#retry = clock.setTimer(this.#backoff.next(retryAfterOf(error)), () => {
        this.#opening = this.#read();
      });
    }
  }
}
