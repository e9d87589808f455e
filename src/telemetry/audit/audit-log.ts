/** Takes records in and hands each to every destination. */
import type { Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { AdminAction, AuditedRpc, AuditSink } from '../../model/audit.js';
import type { Clock } from '../../model/clock.js';
import { UnverifiedSample } from '../../model/unverified-sample.js';
import { auditLine, type AuditWriter, Destination } from './destination.js';
import { adminRecord, type AuditRecord, omittedRecord, rpcRecord } from './record.js';

export interface NamedWriter {
  /** In metrics and messages. */
  readonly name: string;
  readonly writer: AuditWriter;
  /** How long a first record waits for a batch to fill, milliseconds; 0 by default. */
  readonly lingerMs?: number;
}

export interface AuditLogOptions {
  readonly writers: readonly NamedWriter[];
  /** For each destination: bytes of the records that wait. */
  readonly queueBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: AuditMetrics;
}

export class AuditLog implements AuditSink {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: AuditMetrics;
  readonly #destinations: readonly Destination[];
  readonly #sample: UnverifiedSample;

  constructor({ writers, ...options }: AuditLogOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#destinations = writers.map(
      ({ name, writer, lingerMs = 0 }) => new Destination({ ...options, name, writer, lingerMs }),
    );
    this.#sample = new UnverifiedSample({
      clock: options.clock,
      onOmitted: (omitted) => this.#record(() => omittedRecord(omitted)),
    });
  }

  rpc(rpc: AuditedRpc): void {
    const { principal, client, refusal = 'none' } = rpc;
    if (principal === undefined && !this.#isSampled('rpc', client, refusal)) return;
    this.#record(() => rpcRecord(rpc));
  }

  adminAction(action: AdminAction): void {
    const { principal, client, code = 'none' } = action;
    if (principal === undefined && !this.#isSampled('admin', client, code)) return;
    this.#record(() => adminRecord(action, this.#clock.now()));
  }

  /** Writes what waits, for `limitMs` at most. What comes later is dropped. */
  async close(limitMs: number): Promise<void> {
    this.#sample.flush();
    await Promise.all(this.#destinations.map((destination) => destination.close(limitMs)));
  }

  #isSampled(event: 'rpc' | 'admin', client: string | undefined, code: string): boolean {
    this.#metrics.unverified(event);
    return this.#sample.take(client, `${event} ${code}`);
  }

  /** A record that cannot be made must not harm whoever reports it. */
  #record(make: () => AuditRecord): void {
    if (this.#destinations.length === 0) return;
    try {
      const line = auditLine(make());
      for (const destination of this.#destinations) destination.push(line);
    } catch (error) {
      this.#logger.error({ err: error }, 'an audit record could not be made');
    }
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
