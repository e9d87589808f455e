/**
 * The leader's job records: in memory for readers, written through to a JobStore.
 *
 * Memory shows what is durable and nothing else. All that happens to one record happens in turn. Where
 * the outcome of a write is open, the record is *in doubt*: readers go on to see what was durable before,
 * and the next change begins with a read.
 */
import { RecordSchemaError } from '../../lib/json-record.js';
import pLimit from 'p-limit';
import type { Logger } from 'pino';
import { Backoff, type Clock } from '../../model/clock.js';
import { GatewayError, reasonOf, retryAfterOf } from '../../model/errors.js';
import { hasEnded } from '../../model/job.js';
import type { Leadership } from '../../model/ledger.js';
import type { JobRecord } from './job-record.js';
import { isUnreadable, type JobStore, type StoredJob, type UnreadableJob } from './job-store.js';

/** Writes under way at a time. More of them wait in the store's queues until they time out. */
const WRITES_AT_ONCE = 32;
/** How often a change is applied anew to what somebody else wrote meanwhile. */
const ATTEMPTS = 5;
const DOUBT_RETRY_MS = 1_000;
const LONGEST_DOUBT_RETRY_MS = 8_000;

export interface JobLedgerOptions {
  readonly store: JobStore;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Reads every record. Open one after leadership was won. */
export async function openJobLedger(options: JobLedgerOptions): Promise<JobLedger> {
  const ledger = new JobLedger(options);
  await ledger.load();
  return ledger;
}

/** `found`: the change is not of this ledger's own making, but was found in the store. */
export type JobListener = (id: string, found: boolean) => void;

export class JobLedger {
  readonly #options: JobLedgerOptions;
  readonly #epoch: number | undefined;
  readonly #stored = new Map<string, StoredJob>();
  /** Jobs that have not ended. */
  readonly #live = new Set<string>();
  readonly #unreadable = new Map<string, UnreadableJob>();
  readonly #doubtful = new Set<string>();
  /** To be deleted by us: that they are gone is no loss. */
  readonly #deleting = new Set<string>();
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #inTurn = pLimit(WRITES_AT_ONCE);
  readonly #listeners = new Set<JobListener>();
  #stopWatching: (() => void) | undefined;
  #closed = false;

  constructor(options: JobLedgerOptions) {
    this.#options = options;
    this.#epoch = options.leadership.epoch();
  }

  async load(): Promise<void> {
    for await (const entry of this.#options.store.list()) {
      if (isUnreadable(entry)) this.#noteUnreadable(entry);
      else this.#show(entry.record.job.id, entry, true);
    }
    this.#stopWatching = this.#options.store.watch?.((id, version) => this.#seen(id, version));
  }

  close(): void {
    this.#closed = true;
    this.#stopWatching?.();
  }

  get(id: string): JobRecord | undefined {
    return this.#stored.get(id)?.record;
  }

  *all(): Generator<JobRecord, void> {
    for (const { record } of this.#stored.values()) yield record;
  }

  /** Those that have not ended. */
  *live(): Generator<JobRecord, void> {
    for (const id of this.#live) {
      const record = this.get(id);
      if (record) yield record;
    }
  }

  get size(): number {
    return this.#stored.size;
  }

  unreadable(): Iterable<UnreadableJob> {
    return this.#unreadable.values();
  }

  /** Whether the store may hold a record under this id that memory does not show. */
  inDoubt(id: string): boolean {
    return this.#unreadable.has(id) || this.#doubtful.has(id) || this.#turns.has(id);
  }

  /** The record under this id, which is this one unless there was one before. Durable. */
  create(record: JobRecord): Promise<{ readonly record: JobRecord; readonly made: boolean }> {
    const { id } = record.job;
    return this.#take(id, async () => {
      await this.#settle(id);
      const known = this.get(id);
      if (known) return { record: known, made: false };
      try {
        return { record: await this.#write(record, undefined), made: true };
      } catch (error) {
        if (!isConflict(error)) throw error;
        await this.#reread(id);
        const held = this.get(id);
        if (!held) throw error;
        return { record: held, made: false };
      }
    });
  }

  /**
   * Applies the change and resolves with the durable result; `change` returning its argument is no
   * write. It may be called again with what somebody else has written. Rejects with JOB_UNKNOWN where
   * there is no such record, and with CONTROL_PLANE_UNAVAILABLE where it is open what is stored.
   */
  update(id: string, change: (record: JobRecord) => JobRecord): Promise<JobRecord> {
    return this.#take(id, async () => {
      await this.#settle(id);
      for (let attempt = 1; ; attempt += 1) {
        const stored = this.#stored.get(id);
        if (!stored) throw unknownJob(id);
        const next = change(stored.record);
        if (next === stored.record) return next;
        try {
          return await this.#write(next, stored.version);
        } catch (error) {
          if (!isConflict(error) || attempt === ATTEMPTS) throw error;
          await this.#reread(id);
        }
      }
    });
  }

  delete(id: string): Promise<void> {
    return this.#take(id, async () => {
      await this.#settle(id);
      const stored = this.#stored.get(id);
      if (!stored) return;
      this.#mustLead();
      this.#deleting.add(id);
      try {
        await this.#inTurn(() => this.#options.store.delete(id, stored.version));
      } catch (error) {
        this.#doubt(id, error);
        throw unavailable(error);
      }
      this.#deleting.delete(id);
      this.#show(id, undefined);
    });
  }

  readLog(id: string): Promise<Uint8Array | undefined> {
    return this.#options.store.readLog(id);
  }

  async writeLog(id: string, log: Uint8Array): Promise<void> {
    this.#mustLead();
    await this.#options.store.writeLog(id, log);
  }

  /** Calls back after every change. Returns a function that ends it. */
  onChange(listener: JobListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #take<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(id) ?? Promise.resolve();
    const turn = before.then(work, work);
    const settled = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#turns.get(id) === settled) this.#turns.delete(id);
      });
    this.#turns.set(id, settled);
    return turn;
  }

  async #write(record: JobRecord, version: string | undefined): Promise<JobRecord> {
    const { id } = record.job;
    const stamped = { ...record, epoch: this.#mustLead() };
    let stored: StoredJob;
    try {
      stored = {
        record: stamped,
        version: await this.#inTurn(() => {
          this.#mustLead();
          return this.#options.store.write(stamped, version);
        }),
      };
    } catch (error) {
      if (isConflict(error) || isRefusal(error)) throw error;
      this.#doubt(id, error);
      throw unavailable(error);
    }
    this.#show(id, stored);
    this.#mustLead();
    return stamped;
  }

  /** Before anything is decided about a record whose last write has an open outcome. */
  async #settle(id: string): Promise<void> {
    const unreadable = this.#unreadable.get(id);
    if (this.#doubtful.has(id) || unreadable) await this.#reread(id);
    if (this.#unreadable.has(id)) throw unreadableRecord(id);
  }

  async #reread(id: string): Promise<void> {
    let stored: StoredJob | undefined;
    try {
      stored = await this.#options.store.read(id);
    } catch (error) {
      if (error instanceof RecordSchemaError) {
        this.#doubtful.delete(id);
        this.#noteUnreadable({ id, problem: error.message });
        throw unreadableRecord(id);
      }
      this.#doubt(id, error);
      throw unavailable(error);
    }
    this.#doubtful.delete(id);
    this.#unreadable.delete(id);
    const known = this.get(id);
    if (stored || !known || this.#deleting.has(id)) {
      this.#deleting.delete(id);
      this.#show(id, stored, true);
      return;
    }
    this.#options.logger.warn({ job: id }, 'a job record that somebody deleted is written again');
    await this.#write(known, undefined);
  }

  #doubt(id: string, error: unknown): void {
    this.#options.logger.warn({ job: id, reason: reasonOf(error) }, 'a job record is in doubt');
    if (this.#doubtful.has(id)) return;
    this.#doubtful.add(id);
    const backoff = new Backoff(DOUBT_RETRY_MS, LONGEST_DOUBT_RETRY_MS);
    const again = (after: unknown) => {
      this.#options.clock.setTimer(backoff.next(retryAfterOf(after)), () => {
        if (this.#closed || !this.#doubtful.has(id)) return;
        this.#take(id, () => this.#settle(id)).catch((failure: unknown) => again(failure));
      });
    };
    again(error);
  }

  /** The store's watch shows a record otherwise than memory: a former leader's late write, or somebody's hands. */
  #seen(id: string, version: string | undefined): void {
    void this.#take(id, async () => {
      const stored = this.#stored.get(id);
      if (this.#closed || stored?.version === version) return;
      await this.#reread(id);
    }).catch((error: unknown) => {
      this.#options.logger.warn({ job: id, reason: reasonOf(error) }, 'a job record was not read');
    });
  }

  #show(id: string, stored: StoredJob | undefined, found = false): void {
    if (stored) this.#stored.set(id, stored);
    else this.#stored.delete(id);
    if (stored && !hasEnded(stored.record.state)) this.#live.add(id);
    else this.#live.delete(id);
    for (const listener of this.#listeners) listener(id, found);
  }

  #noteUnreadable(entry: UnreadableJob): void {
    this.#unreadable.set(entry.id, entry);
    this.#options.logger.error(
      { job: entry.id, problem: entry.problem },
      'a job record is unreadable',
    );
  }

  #mustLead(): number {
    const epoch = this.#options.leadership.epoch();
    if (epoch === undefined || epoch !== this.#epoch) {
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        'This control plane does not lead any more; ask again in a moment.',
        { retryAfterMs: 1_000 },
      );
    }
    return epoch;
  }
}

export function unknownJob(id: string): GatewayError {
  return new GatewayError(
    'JOB_UNKNOWN',
    `There is no job ${id} that you may see. Jobs are forgotten some days after their end.`,
  );
}

function unreadableRecord(id: string): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    `The record of job ${id} cannot be read; whoever runs the gateway is shown why.`,
    { retryAfterMs: 30_000 },
  );
}

function unavailable(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'The record of the job cannot be stored now. Ask again in a moment, with the same client_request_id.',
    { cause, retryAfterMs: 1_000 },
  );
}

function isConflict(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'RECORD_CONFLICT';
}

/** Nothing was written, and nothing is open. */
function isRefusal(error: unknown): boolean {
  return error instanceof GatewayError;
}
