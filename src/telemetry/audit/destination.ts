/** Where records go: a bounded queue and a loop that writes what is in it. Whoever has a record never waits. */
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { reasonOf } from '../../model/errors.js';
import { type AuditRecord, lostRecord, recordLine } from './audit-record.js';
import { type Registry, Counter, Gauge } from 'prom-client';

export interface AuditLine {
  readonly line: string;
  /** Of `line` in UTF-8. */
  readonly bytes: number;
  /** As in `AuditRecord`. */
  readonly unverified: boolean;
  /** What the line says, for destinations that write no lines. */
  readonly record: () => AuditRecord;
}

export function auditLine(record: AuditRecord): AuditLine {
  const line = recordLine(record);
  const { unverified } = record;
  return { line, bytes: Buffer.byteLength(line), unverified, record: () => record };
}

export interface NotTaken {
  /** By the collector. */
  readonly rejected?: number;
  /** For want of room for those that no verified principal stands behind. */
  readonly unverified?: number;
}

export interface AuditWriter {
  /**
   * Resolves with the numbers of records that will never be taken.
   * After a rejection nothing of the batch has been written for good, or the writer remembers what has
   * and goes on there: the same array is given to it again.
   */
  write(batch: readonly AuditLine[]): Promise<NotTaken>;
  close(): Promise<void>;
}

export interface DestinationOptions {
  readonly name: string;
  readonly writer: AuditWriter;
  /** Of records that wait or are being written; further ones are dropped. */
  readonly queueBytes: number;
  /** How long a first record waits for others, milliseconds; less when there are enough for a batch. */
  readonly lingerMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: AuditMetrics;
}

const BATCH_RECORDS = 512;
const BATCH_BYTES = 256 * 1024;
/** What no verified principal stands behind waits in so much of the queue, and no more. */
const UNVERIFIED_SHARE = 1 / 16;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;

export class Destination {
  readonly #o: DestinationOptions;
  readonly #queue: ByteQueue<AuditLine>;
  readonly #ended: Promise<void>;
  /** Taken from the queue, not written yet. */
  #inHand = 0;
  /** Of those that wait. */
  #unverifiedBytes = 0;
  /** Dropped since the last record that said so. */
  #lost = 0;
  #failing = false;
  #closing = false;
  /** The loop does not go on, whatever is left. */
  #abandoned = false;
  /** Ends the wait for a record. */
  #wake: (() => void) | undefined;
  /** Ends a pause before its time. */
  #interrupt: (() => void) | undefined;
  /** Ends the wait for company. */
  #hasCompany: (() => void) | undefined;

  constructor(options: DestinationOptions) {
    this.#o = options;
    this.#queue = new ByteQueue(options.queueBytes);
    options.metrics.destination(options.name, {
      queuedBytes: () => this.#queue.bytes,
      failing: () => this.#failing,
    });
    this.#ended = this.#run();
  }

  push(line: AuditLine): void {
    const { name, metrics } = this.#o;
    if (line.unverified && !this.#hasRoomForUnverified(line.bytes)) {
      metrics.dropped(name, 'unverified', 1);
      return;
    }
    if (this.#closing || !this.#queue.push(line)) {
      this.#lost += 1;
      metrics.dropped(name, this.#closing ? 'shutdown' : 'queue_full', 1);
      this.#hasCompany?.();
      return;
    }
    if (line.unverified) this.#unverifiedBytes += line.bytes;
    this.#wake?.();
    if (this.#isEnough()) this.#hasCompany?.();
  }

  #hasRoomForUnverified(bytes: number): boolean {
    return this.#unverifiedBytes + bytes <= this.#o.queueBytes * UNVERIFIED_SHARE;
  }

  /** Writes what is left, for `limitMs` at most; the rest is dropped and counted. */
  async close(limitMs: number): Promise<void> {
    const { clock, metrics, name, writer } = this.#o;
    this.#closing = true;
    this.#wake?.();
    this.#interrupt?.();
    const late = new Promise<void>((resolve) => {
      clock.setTimer(limitMs, () => {
        this.#abandoned = true;
        this.#interrupt?.();
        resolve();
      });
    });
    await Promise.race([this.#ended, late]);
    const left = this.#queue.length + this.#inHand;
    if (left > 0) metrics.dropped(name, 'shutdown', left);
    // A write that does not end must not keep the process.
    if (!this.#abandoned) await writer.close();
  }

  async #run(): Promise<void> {
    const { lingerMs } = this.#o;
    for (;;) {
      if (this.#queue.length === 0) {
        if (this.#closing) return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        continue;
      }
      if (lingerMs > 0 && !this.#closing && !this.#isEnough()) await this.#linger(lingerMs);
      const batch = this.#queue.take(BATCH_RECORDS, BATCH_BYTES);
      this.#inHand = batch.length;
      await this.#write(this.#withLost(batch));
      if (this.#abandoned) return;
      this.#inHand = 0;
      this.#queue.release(batch);
      for (const { unverified, bytes } of batch) if (unverified) this.#unverifiedBytes -= bytes;
    }
  }

  /** Whether what waits is a batch, or all that there is room for. */
  #isEnough(): boolean {
    const { length, bytes } = this.#queue;
    return length >= BATCH_RECORDS || bytes >= BATCH_BYTES || this.#lost > 0;
  }

  async #linger(lingerMs: number): Promise<void> {
    const over = this.#pause(lingerMs);
    this.#hasCompany = this.#interrupt;
    await over;
    this.#hasCompany = undefined;
  }

  /** Puts a record behind that says how many are missing. */
  #withLost(batch: readonly AuditLine[]): readonly AuditLine[] {
    if (this.#lost === 0) return batch;
    const lost = auditLine(lostRecord(this.#lost, this.#o.clock.now()));
    this.#lost = 0;
    return [...batch, lost];
  }

  /** Tries until it works or is given up. */
  async #write(batch: readonly AuditLine[]): Promise<void> {
    const { name, writer, metrics, logger } = this.#o;
    for (let attempt = 0; !this.#abandoned; attempt += 1) {
      try {
        const { rejected = 0, unverified = 0 } = await writer.write(batch);
        if (rejected > 0) metrics.dropped(name, 'rejected', rejected);
        if (unverified > 0) metrics.dropped(name, 'unverified', unverified);
        metrics.written(name, batch.length - rejected - unverified);
        if (this.#failing) logger.info({ destination: name }, 'audit records are written again');
        this.#failing = false;
        return;
      } catch (error) {
        if (!this.#failing) {
          const reason = reasonOf(error);
          logger.error(
            { destination: name, reason },
            'audit records cannot be written: they wait, and are dropped once the queue is full',
          );
        }
        this.#failing = true;
        await this.#pause(Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt));
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#o.clock.setTimer(delayMs, resolve);
      this.#interrupt = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** First in, first out, bounded by the bytes of what it holds or has handed out and not got back. */
export interface Sized {
  readonly bytes: number;
}

class ByteQueue<T extends Sized> {
  readonly #limitBytes: number;
  #items: T[] = [];
  #head = 0;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Items that have not been taken. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Of all that was pushed and not released. */
  get bytes(): number {
    return this.#bytes;
  }

  /** false: it does not fit and was not taken in. */
  push(item: T): boolean {
    if (this.#bytes + item.bytes > this.#limitBytes) return false;
    this.#bytes += item.bytes;
    this.#items.push(item);
    return true;
  }

  /** The oldest items: as many as fit into these limits, but one at least. Their bytes count until `release`. */
  take(mostItems: number, mostBytes: number): T[] {
    let end = this.#head;
    let bytes = 0;
    while (end < this.#items.length && end - this.#head < mostItems) {
      bytes += this.#items[end]?.bytes ?? 0;
      if (bytes > mostBytes && end > this.#head) break;
      end += 1;
    }
    const taken = this.#items.slice(this.#head, end);
    this.#head = end;
    // What was taken is nobody's here any more: kept, it would be copied by each collection of garbage.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  release(items: readonly T[]): void {
    for (const { bytes } of items) this.#bytes -= bytes;
  }
}

/**
 * Why a record was not written. `rejected`: the collector did not want it. `unverified`: it would have
 * taken room of those that a verified principal stands behind.
 */
export type DropReason = 'queue_full' | 'rejected' | 'shutdown' | 'unverified';

const reasons: readonly DropReason[] = ['queue_full', 'rejected', 'shutdown', 'unverified'];

export interface AuditMetrics {
  /** To be called once for each destination, so that its numbers are there from the start. */
  destination(
    name: string,
    state: { readonly queuedBytes: () => number; readonly failing: () => boolean },
  ): void;
  written(destination: string, count: number): void;
  dropped(destination: string, reason: DropReason, count: number): void;
  /** One that no verified principal stands behind, whether or not it is written. */
  unverified(event: 'rpc' | 'admin'): void;
}

export function auditMetrics(registry: Registry): AuditMetrics {
  const registers = [registry];
  const states = new Map<string, Parameters<AuditMetrics['destination']>[1]>();
  const written = new Counter({
    name: 'spark_gateway_audit_records_total',
    help: 'Audit records that were written.',
    labelNames: ['destination'],
    registers,
  });
  const dropped = new Counter({
    name: 'spark_gateway_audit_dropped_total',
    help: 'Audit records that were dropped: the queue was full, the collector rejected them, or the process ended.',
    labelNames: ['destination', 'reason'],
    registers,
  });
  const unverified = new Counter({
    name: 'spark_gateway_audit_unverified_total',
    help: 'RPCs and administrative requests that no verified principal stands behind. Some of them are written.',
    labelNames: ['event'],
    registers,
  });
  for (const event of ['rpc', 'admin']) unverified.inc({ event }, 0);
  const gauge = (
    name: string,
    help: string,
    read: (state: { queuedBytes(): number; failing(): boolean }) => number,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: ['destination'],
      registers,
      collect() {
        for (const [destination, state] of states) this.set({ destination }, read(state));
      },
    });
  gauge('spark_gateway_audit_queue_bytes', 'Audit records that wait, bytes.', (state) =>
    state.queuedBytes(),
  );
  gauge(
    'spark_gateway_audit_failing',
    'Whether the last attempt to write audit records failed (1).',
    (state) => (state.failing() ? 1 : 0),
  );
  return {
    destination(name, state) {
      states.set(name, state);
      written.inc({ destination: name }, 0);
      for (const reason of reasons) dropped.inc({ destination: name, reason }, 0);
    },
    written: (destination, count) => written.inc({ destination }, count),
    dropped: (destination, reason, count) => dropped.inc({ destination, reason }, count),
    unverified: (event) => unverified.inc({ event }),
  };
}
