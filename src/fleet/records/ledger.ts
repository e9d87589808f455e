/** The leader's driver records: in memory for readers, written through to a RecordStore. */
import pLimit from 'p-limit';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import type { DriverRecord } from '../../model/driver.js';
import { GatewayError } from '../../model/errors.js';
import type { Leadership, Ledger, RecordStore } from '../../model/ledger.js';
import { RecordIndex } from './record-index.js';
import { notLeader, RecordWriter, type WriterContext } from './record-writer.js';

/** How long a lazy change may stay unwritten. */
const LAZY_FLUSH_MS = 10_000;
/** Writes under way at a time. More of them wait in the store's queues until they time out. */
const WRITES_AT_ONCE = 32;

export interface LedgerOptions {
  readonly store: RecordStore;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Reads every record and answers from memory from then on. Open one after leadership was won. */
export async function openLedger(options: LedgerOptions): Promise<StoredLedger> {
  const ledger = new StoredLedger(options);
  await ledger.load();
  return ledger;
}

export class StoredLedger implements Ledger {
  readonly #options: LedgerOptions;
  readonly #context: WriterContext;
  readonly #writers = new Map<string, RecordWriter>();
  readonly #index = new RecordIndex((uid) => this.get(uid));
  readonly #listeners = new Set<(uid: string) => void>();
  #idleWaiters: (() => void)[] = [];
  #flushTimer: Timer | undefined;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#context = {
      ...options,
      inTurn: pLimit(WRITES_AT_ONCE),
      changed: (uid, before, after) => this.#changed(uid, before, after),
      settled: (writer) => this.#settled(writer),
    };
  }

  async load(): Promise<void> {
    const records = await this.#options.store.list();
    for (const stored of records) {
      const uid = stored.record.uid;
      this.#writers.set(uid, new RecordWriter(uid, this.#context, stored));
      this.#index.replace(undefined, stored.record);
    }
    for (const { record } of records) this.#settleRivals(undefined, record);
  }

  get(uid: string): DriverRecord | undefined {
    return this.#writers.get(uid)?.current;
  }

  *all(): Iterable<DriverRecord> {
    for (const writer of this.#writers.values()) {
      if (writer.current) yield writer.current;
    }
  }

  bySession(sessionId: string): DriverRecord | undefined {
    return this.#index.bySession(sessionId);
  }

  byNamespace(namespace: string): Iterable<DriverRecord> {
    return this.#index.byNamespace(namespace);
  }

  async create(record: DriverRecord): Promise<void> {
    const epoch = this.#epoch();
    let writer = this.#writers.get(record.uid);
    if (writer?.current) {
      throw new GatewayError('RECORD_CONFLICT', `Driver ${record.uid} has a record already.`);
    }
    if (!writer) {
      writer = new RecordWriter(record.uid, this.#context);
      this.#writers.set(record.uid, writer);
    }
    await writer.set({ ...record, epoch }, epoch);
  }

  async update(uid: string, change: (record: DriverRecord) => DriverRecord): Promise<DriverRecord> {
    const epoch = this.#epoch();
    const writer = this.#writers.get(uid);
    const before = writer?.current;
    if (!writer || !before) {
      throw new GatewayError('RECORD_CONFLICT', `Driver ${uid} has no record any more.`);
    }
    const next = change(before);
    if (next === before) {
      await writer.barrier(epoch);
      return before;
    }
    const stamped = { ...next, epoch };
    await writer.set(stamped, epoch);
    return stamped;
  }

  updateLazily(uid: string, change: (record: DriverRecord) => DriverRecord): void {
    const epoch = this.#options.leadership.epoch();
    const writer = this.#writers.get(uid);
    if (epoch === undefined || !writer?.current) return;
    const next = change(writer.current);
    if (next === writer.current) return;
    writer.setLazily({ ...next, epoch });
    this.#flushTimer ??= this.#options.clock.setTimer(LAZY_FLUSH_MS, () => this.#flush());
  }

  async delete(uid: string): Promise<void> {
    const epoch = this.#epoch();
    const writer = this.#writers.get(uid);
    if (!writer) return;
    await (writer.current ? writer.set(undefined, epoch) : writer.barrier(epoch));
  }

  /** Whether the store has held a record of this driver, and nothing is under way to it. */
  isStored(uid: string): boolean {
    return this.#writers.get(uid)?.isStored === true;
  }

  /** The store shows no record of this driver any more. If there should be one, it is written again. */
  restore(uid: string): void {
    if (this.#options.leadership.epoch() === undefined) return;
    this.#writers.get(uid)?.writeAgain();
  }

  onChange(listener: (uid: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes what was put off and resolves when nothing is under way. A record in doubt is not waited for. */
  async close(): Promise<void> {
    this.#flush();
    while ([...this.#writers.values()].some((writer) => writer.busy)) {
      await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    }
  }

  #epoch(): number {
    const epoch = this.#options.leadership.epoch();
    if (epoch === undefined) throw notLeader();
    return epoch;
  }

  #flush(): void {
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    if (this.#options.leadership.epoch() === undefined) return;
    for (const writer of this.#writers.values()) writer.flush();
  }

  #settled(writer: RecordWriter): void {
    if (!writer.current && writer.idle) this.#writers.delete(writer.uid);
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #changed(uid: string, before: DriverRecord | undefined, after: DriverRecord | undefined): void {
    this.#index.replace(before, after);
    this.#settleRivals(before, after);
    for (const listener of this.#listeners) {
      try {
        listener(uid);
      } catch (error) {
        this.#options.logger.error({ err: error, driver: uid }, 'a listener to records failed');
      }
    }
  }

  /**
   * A write of a former leader may arrive late, after its successor has read the records, and then
   * two of them name one session. The former leader did not answer for it; the successor may have.
   */
  #settleRivals(before: DriverRecord | undefined, after: DriverRecord | undefined): void {
    for (const { uid, sessionId } of rivalsOf(before, after, (id) => this.#index.holders(id))) {
      this.#options.logger.warn(
        { session: sessionId, driver: uid },
        'a session that a former leader wrote to a second driver is dropped there',
      );
      this.updateLazily(uid, (record) => withoutEntries(record, sessionId));
    }
  }
}

// Records that name the same session, of which the one that a later leader wrote is right. Pure.

export interface Rival {
  /** The driver whose record named the session without right. */
  readonly uid: string;
  readonly sessionId: string;
}

/**
 * Entries that have to go because of sessions that `after` names and `before` did not. A record's
 * epoch is that of its last writer, and a leader settles rivals as soon as it reads a record, so
 * that only a late write of a former leader can leave a lower one. Records of one epoch are no
 * rivals: no leader gives a session to two drivers.
 */
function rivalsOf(
  before: DriverRecord | undefined,
  after: DriverRecord | undefined,
  holders: (sessionId: string) => readonly DriverRecord[],
): Rival[] {
  if (!after) return [];
  if (before?.sessions === after.sessions && before.tombstones === after.tombstones) return [];
  const rivals: Rival[] = [];
  for (const sessionId of [...Object.keys(after.sessions), ...Object.keys(after.tombstones)]) {
    if (before && names(before, sessionId)) continue;
    const found = holders(sessionId);
    if (found.length < 2) continue;
    const highest = Math.max(...found.map(({ epoch }) => epoch));
    for (const { uid, epoch } of found) if (epoch < highest) rivals.push({ uid, sessionId });
  }
  return rivals;
}

function withoutEntries(record: DriverRecord, sessionId: string): DriverRecord {
  if (!names(record, sessionId)) return record;
  const { [sessionId]: _, ...sessions } = record.sessions;
  const { [sessionId]: __, ...tombstones } = record.tombstones;
  return { ...record, sessions, tombstones };
}

function names(record: DriverRecord, sessionId: string): boolean {
  return Object.hasOwn(record.sessions, sessionId) || Object.hasOwn(record.tombstones, sessionId);
}
