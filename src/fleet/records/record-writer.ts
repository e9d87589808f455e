/**
 * One record on its way between memory and the store.
 *
 * States: *settled* (memory is what the store holds, lazy changes aside), *writing* (one request is
 * under way or waits for its turn; later changes gather for the next one), *in doubt* (the outcome of a write is open and
 * the store cannot be read: memory keeps showing the change, because it may have been written, and
 * nothing is answered from it until a read succeeds).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { Backoff, type Clock } from '../../model/clock.js';
import type { DriverRecord } from '../../model/driver.js';
import { GatewayError, retryAfterOf } from '../../model/errors.js';
import type { Leadership, RecordStore, StoredRecord } from '../../model/ledger.js';

/** How long to wait before the store is asked again about a record in doubt. */
const DOUBT_RETRY_MS = 1000;
const LONGEST_DOUBT_RETRY_MS = 8000;

export interface WriterContext {
  readonly store: RecordStore;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Runs the work at its turn: the records of thousands of drivers may be written at once. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** Called after memory changed, by a caller's change or by the store's truth. */
  changed(uid: string, before: DriverRecord | undefined, after: DriverRecord | undefined): void;
  /** Called when nothing is under way any more. */
  settled(writer: RecordWriter): void;
}

interface Waiter {
  readonly epoch: number;
  resolve(): void;
  reject(error: GatewayError): void;
}

export class RecordWriter {
  readonly uid: string;
  readonly #context: WriterContext;
  #current: DriverRecord | undefined;
  #stored: StoredRecord | undefined;
  /** Those whose changes go out with the next request. */
  #waiters: Waiter[] = [];
  /** Those whose changes the request under way holds. */
  #inFlight: Waiter[] = [];
  #running = false;
  #flushWanted = false;
  #inDoubt = false;
  readonly #retry = new Backoff(DOUBT_RETRY_MS, LONGEST_DOUBT_RETRY_MS);

  constructor(uid: string, context: WriterContext, stored?: StoredRecord) {
    this.uid = uid;
    this.#context = context;
    this.#stored = stored;
    this.#current = stored?.record;
  }

  /** As memory shows it now; undefined when deleted or not yet created. */
  get current(): DriverRecord | undefined {
    return this.#current;
  }

  /** Whether the store holds it by all that is known, and nothing is under way. */
  get isStored(): boolean {
    return this.#stored !== undefined && this.idle;
  }

  /** Whether a request is under way. */
  get busy(): boolean {
    return this.#running;
  }

  /** Whether nothing is under way and nothing is open. */
  get idle(): boolean {
    return !this.#running && !this.#inDoubt;
  }

  /** Shows `next` now; it is written with the next request. */
  setLazily(next: DriverRecord): void {
    if (!this.#inDoubt) this.#show(next);
  }

  /** Shows `next` now and resolves when it is durable. */
  set(next: DriverRecord | undefined, epoch: number): Promise<void> {
    if (this.#inDoubt) return Promise.reject(unavailable());
    const done = this.#wait(epoch);
    this.#show(next);
    void this.#run();
    return done;
  }

  /** Resolves when every change made before it, lazy ones aside, is durable. */
  barrier(epoch: number): Promise<void> {
    if (this.#inDoubt) return Promise.reject(unavailable());
    if (this.#waiters.length === 0 && this.#inFlight.length === 0) return Promise.resolve();
    if (this.#waiters.length > 0) return this.#wait(epoch);
    return new Promise((resolve, reject) => this.#inFlight.push({ epoch, resolve, reject }));
  }

  /** Writes the record although nothing changed: the store may have lost it. Never rejects. */
  writeAgain(): void {
    if (this.#inDoubt || !this.#stored || !this.#current) return;
    this.#flushWanted = true;
    void this.#run();
  }

  /** Writes lazy changes. Never rejects. */
  flush(): void {
    if (this.#inDoubt || this.#current === this.#stored?.record) return;
    this.#flushWanted = true;
    void this.#run();
  }

  #wait(epoch: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ epoch, resolve, reject }));
  }

  #show(next: DriverRecord | undefined): void {
    const before = this.#current;
    if (before === next) return;
    this.#current = next;
    this.#context.changed(this.uid, before, next);
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    // Changes made in the same turn go out together.
    await Promise.resolve();
    while (!this.#inDoubt && (this.#waiters.length > 0 || this.#flushWanted)) {
      await this.#writeOnce();
    }
    this.#running = false;
    this.#context.settled(this);
  }

  async #writeOnce(): Promise<void> {
    const { leadership, logger } = this.#context;
    let wanted: DriverRecord | undefined;
    try {
      const sent = await this.#context.inTurn(async () => {
        this.#inFlight = this.#waiters;
        this.#waiters = [];
        this.#flushWanted = false;
        wanted = this.#current;
        if (leadership.epoch() === undefined) return false;
        this.#stored = await this.#send(wanted);
        return true;
      });
      if (!sent) {
        this.#takeBack(this.#stored, notLeader());
        return;
      }
    } catch (error) {
      logger.warn({ err: error, driver: this.uid }, 'a driver record was not stored');
      if (!(await this.#resolveDoubt(wanted, refusalOf(error)))) return;
    }
    const epoch = leadership.epoch();
    for (const waiter of this.#inFlight) {
      if (waiter.epoch === epoch) waiter.resolve();
      else waiter.reject(notLeader());
    }
    this.#inFlight = [];
  }

  async #send(wanted: DriverRecord | undefined): Promise<StoredRecord | undefined> {
    if (wanted) {
      const version = await this.#context.store.write(wanted, this.#stored?.version);
      return { record: wanted, version };
    }
    if (this.#stored) await this.#context.store.delete(this.uid, this.#stored.version);
    return undefined;
  }

  /** After a failed write: whether the store turns out to hold it. If not, every change is taken back. */
  async #resolveDoubt(wanted: DriverRecord | undefined, refusal: GatewayError): Promise<boolean> {
    try {
      const found = await this.#context.store.read(this.uid);
      if (wanted ? found && isDeepStrictEqual(found.record, wanted) : !found) {
        this.#stored = found && wanted ? { record: wanted, version: found.version } : undefined;
        return true;
      }
      if (wanted && !found && this.#stored) {
        this.#makeAnew();
        return false;
      }
      this.#takeBack(found, refusal);
    } catch (error) {
      this.#context.logger.warn({ err: error, driver: this.uid }, 'a driver record is in doubt');
      this.#inDoubt = true;
      this.#readAgainLater(error);
      for (const waiter of this.#takeWaiters()) waiter.reject(unavailable());
    }
    return false;
  }

  /** Someone deleted what only the leader may delete: memory knows it, so it is written as a new one. */
  #makeAnew(): void {
    this.#context.logger.warn({ driver: this.uid }, 'a driver record was deleted; it is made anew');
    this.#stored = undefined;
    this.#waiters = [...this.#inFlight, ...this.#waiters];
    this.#inFlight = [];
    this.#flushWanted = true;
  }

  async #readAgain(): Promise<void> {
    try {
      const found = await this.#context.store.read(this.uid);
      this.#inDoubt = false;
      this.#retry.reset();
      if (!found && this.#stored && this.#current) {
        this.#makeAnew();
        void this.#run();
        return;
      }
      this.#takeBack(found, unavailable());
      this.#context.settled(this);
    } catch (error) {
      this.#readAgainLater(error);
    }
  }

  #readAgainLater(failure: unknown): void {
    const pauseMs = this.#retry.next(retryAfterOf(failure));
    this.#context.clock.setTimer(pauseMs, () => void this.#readAgain());
  }

  /** Shows what the store holds again. A change that a listener makes at that is a new one, not rejected. */
  #takeBack(found: StoredRecord | undefined, error: GatewayError): void {
    const waiters = this.#takeWaiters();
    this.#stored = found;
    this.#show(found?.record);
    for (const waiter of waiters) waiter.reject(error);
  }

  #takeWaiters(): Waiter[] {
    const waiters = [...this.#inFlight, ...this.#waiters];
    this.#inFlight = [];
    this.#waiters = [];
    return waiters;
  }
}

/** What a caller is told: a record that is full stays full, anything else may pass. */
function refusalOf(error: unknown): GatewayError {
  return error instanceof GatewayError && error.code === 'RECORD_FULL'
    ? error
    : unavailable(retryAfterOf(error));
}

export function notLeader(): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'This control plane does not lead now; try again in a moment.',
    { retryAfterMs: 2000 },
  );
}

function unavailable(retryAfterMs = 2000): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'The gateway cannot store its records now, so nothing was changed; try again in a moment.',
    { retryAfterMs },
  );
}
