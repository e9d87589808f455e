/**
 * This machine in place of a cluster with the Spark operator. Only while somebody wants to know of changes,
 * which is a leader, it looks at jobs and starts them: a follower would start them a second time.
 */
import { GatewayError, reasonOf } from '../../model/errors.js';
import type {
  ApplicationStatus,
  BackendLogLine,
  BatchBackend,
  JobToRun,
  LogRequest,
} from '../backend.js';
import { LocalJobs, type LocalJobsOptions } from './local-jobs.js';

export type LocalBatchOptions = Omit<LocalJobsOptions, 'onChange'>;

const RETRY_MS = 1_000;

export class LocalBatch implements BatchBackend {
  readonly name = 'local';
  readonly #o: LocalBatchOptions;
  readonly #listeners = new Set<(namespace: string, id: string) => void>();
  /** What is open or opening, while anybody listens. */
  #opening: Promise<LocalJobs> | undefined;
  #jobs: LocalJobs | undefined;
  /** What was open before has nothing under way any more. */
  #closed: Promise<void> = Promise.resolve();
  #failure = '';

  constructor(options: LocalBatchOptions) {
    this.#o = options;
  }

  /** Stops looking. The jobs live on. */
  async close(): Promise<void> {
    this.#listeners.clear();
    this.#stop();
    await this.#closed;
  }

  available(): boolean {
    return this.#jobs !== undefined;
  }

  async create(job: JobToRun): Promise<void> {
    await (await this.#open()).create(job);
  }

  status(namespace: string, id: string): ApplicationStatus | undefined {
    if (!this.#jobs) throw this.#doubt();
    return this.#jobs.status(namespace, id);
  }

  *all(): Generator<ApplicationStatus, void> {
    if (this.#jobs) yield* this.#jobs.all();
  }

  onChange(listener: (namespace: string, id: string) => void): () => void {
    this.#listeners.add(listener);
    if (!this.#opening) this.#start();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  async delete(namespace: string, id: string): Promise<void> {
    await (await this.#open()).delete(namespace, id);
  }

  async remains(namespace: string, id: string): Promise<boolean> {
    return (await this.#open()).remains(namespace, id);
  }

  async *logs(
    namespace: string,
    id: string,
    request: LogRequest,
  ): AsyncGenerator<BackendLogLine, void> {
    yield* (await this.#open()).logs(namespace, id, request);
  }

  /** What it knows, once it knows what is there. */
  #open(): Promise<LocalJobs> {
    return this.#opening ?? Promise.reject(this.#doubt());
  }

  #start(): void {
    const { clock, log } = this.#o;
    const opening = this.#closed.then(() =>
      LocalJobs.open({ ...this.#o, onChange: (namespace, id) => this.#notify(namespace, id) }),
    );
    this.#opening = opening;
    opening.then(
      (jobs) => {
        if (this.#opening !== opening) return;
        this.#jobs = jobs;
        for (const { namespace, id } of jobs.all()) this.#notify(namespace, id);
      },
      (error: unknown) => {
        log.error({ err: error }, 'the jobs of this machine cannot be read; trying again');
        this.#failure = reasonOf(error);
        clock.setTimer(RETRY_MS, () => {
          if (this.#opening === opening) this.#start();
        });
      },
    );
  }

  #stop(): void {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#jobs = undefined;
    if (!opening) return;
    const before = this.#closed;
    this.#closed = opening.then((jobs) => jobs.close()).catch(() => before);
  }

  #notify(namespace: string, id: string): void {
    // Before it is open nothing can be told of it; all are told of then.
    if (!this.#jobs) return;
    for (const listener of this.#listeners) listener(namespace, id);
  }

  #doubt(): GatewayError {
    const because = this.#failure === '' ? '' : `: ${this.#failure}`;
    return new GatewayError(
      'CONTROL_PLANE_UNAVAILABLE',
      `What jobs this machine runs is not known now${because}; ask again in a moment.`,
      { retryAfterMs: RETRY_MS },
    );
  }
}
