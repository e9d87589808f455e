/** Takes records in and hands each to every destination. */
import type { Logger } from 'pino';
import type { AdminAction, AuditedRpc, AuditSink } from '../../model/audit.js';
import type { Clock } from '../../model/clock.js';
import { UnverifiedSample } from '../../model/unverified-sample.js';
import {
  type AuditLine,
  auditLine,
  type AuditMetrics,
  type AuditWriter,
  Destination,
} from './destination.js';
import { adminRecord, omittedRecord, rpcRecord } from './audit-record.js';
import { RpcLines } from './rpc-line.js';

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
  readonly #rpcLines = new RpcLines();

  constructor({ writers, ...options }: AuditLogOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#destinations = writers.map(
      ({ name, writer, lingerMs = 0 }) => new Destination({ ...options, name, writer, lingerMs }),
    );
    this.#sample = new UnverifiedSample({
      clock: options.clock,
      onOmitted: (omitted) => this.#record(() => auditLine(omittedRecord(omitted))),
    });
  }

  rpc(rpc: AuditedRpc): void {
    const { principal, client, refusal = 'none' } = rpc;
    if (principal === undefined && !this.#isSampled('rpc', client, refusal)) return;
    this.#record(() => this.#rpcLine(rpc));
  }

  adminAction(action: AdminAction): void {
    const { principal, client, code = 'none' } = action;
    if (principal === undefined && !this.#isSampled('admin', client, code)) return;
    this.#record(() => auditLine(adminRecord(action, this.#clock.now())));
  }

  /** Writes what waits, for `limitMs` at most. What comes later is dropped. */
  async close(limitMs: number): Promise<void> {
    this.#sample.flush();
    await Promise.all(this.#destinations.map((destination) => destination.close(limitMs)));
  }

  #rpcLine(rpc: AuditedRpc): AuditLine {
    const line = this.#rpcLines.line(rpc);
    const unverified = rpc.principal === undefined;
    return { line, bytes: Buffer.byteLength(line), unverified, record: () => rpcRecord(rpc) };
  }

  #isSampled(event: 'rpc' | 'admin', client: string | undefined, code: string): boolean {
    this.#metrics.unverified(event);
    return this.#sample.take(client, `${event} ${code}`);
  }

  /** A record that cannot be made must not harm whoever reports it. */
  #record(make: () => AuditLine): void {
    if (this.#destinations.length === 0) return;
    try {
      const line = make();
      for (const destination of this.#destinations) destination.push(line);
    } catch (error) {
      this.#logger.error({ err: error }, 'an audit record could not be made');
    }
  }
}
