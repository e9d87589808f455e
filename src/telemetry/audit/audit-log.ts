/** Takes records in and hands each to every destination. */
import type { Logger } from 'pino';
import type { AdminAction, AuditedRpc, AuditSink } from '../../model/audit.js';
import type { Clock } from '../../model/clock.js';
import { auditLine, type AuditMetrics, type AuditWriter, Destination } from './destination.js';
import { adminRecord, type AuditRecord, rpcRecord } from './record.js';

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
  readonly #destinations: readonly Destination[];

  constructor({ writers, ...options }: AuditLogOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#destinations = writers.map(
      ({ name, writer, lingerMs = 0 }) => new Destination({ ...options, name, writer, lingerMs }),
    );
  }

  rpc(rpc: AuditedRpc): void {
    this.#record(() => rpcRecord(rpc));
  }

  adminAction(action: AdminAction): void {
    this.#record(() => adminRecord(action, this.#clock.now()));
  }

  /** Writes what waits, for `limitMs` at most. What comes later is dropped. */
  async close(limitMs: number): Promise<void> {
    await Promise.all(this.#destinations.map((destination) => destination.close(limitMs)));
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
