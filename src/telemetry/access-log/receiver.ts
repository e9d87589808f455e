/** Envoy's access log service: audit records, metrics, activity of sessions. */
import { create } from '@bufbuild/protobuf';
import type { ClientWritableStream, Server, ServerReadableStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AccessLogService,
  type StreamAccessLogsResponse,
  StreamAccessLogsResponseSchema,
} from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { asOnTheWire, methodDefinition } from '../../lib/grpc/channels.js';
import { MalformedMessage } from '../../lib/protobuf/wire.js';
import { toServiceError } from '../../lib/grpc/status-details.js';
import type { ActivitySink, QueryReports } from '../../model/assignment.js';
import type { AuditSink } from '../../model/audit.js';
import type { Clock } from '../../model/clock.js';
import type { GatewayError } from '../../model/errors.js';
import { notLeading } from '../../model/refusals.js';
import { type AccessLogMessage, EntryReader } from './entry-reader.js';
import { type ActivityFeed, localFeed, Reporters } from './feed.js';
import { relayFeed } from './relay-feed.js';
import type { AccessRecord } from './access-record.js';
import type { RequestMetrics } from './request-metrics.js';

export interface AccessLogOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Pick<AuditSink, 'rpc'>;
  readonly metrics: RequestMetrics;
  /** Told of every record, also of those that another process has passed on. */
  readonly onRecord?: (record: AccessRecord) => void;
  /** Told of RPCs that succeeded and whose records another process has not passed on: how long each took, milliseconds. */
  readonly onLeftOut?: (durationsMs: readonly number[]) => void;
  /** How often Envoys report a running RPC, milliseconds (`ListenerSettings.accessLogIntervalMs`). */
  readonly intervalMs: number;
  /** Whether a call was passed on by another process, which has audited and counted what it holds. */
  readonly isPassedOn: (call: LogCall) => boolean;
}

/** Where activity is told. `open`: a call of the same method of another process, or undefined. */
export type ActivityTarget =
  | { readonly sink: ActivitySink; readonly queries: QueryReports }
  | { readonly open: () => ClientWritableStream<Buffer> | undefined };

type LogCall = ServerReadableStream<Buffer, StreamAccessLogsResponse>;

/**
 * Takes Envoys' access logs, whoever leads: audit and metrics are the business of the process that an
 * Envoy happens to be connected to, activity that of the leader.
 */
export class AccessLogReceiver {
  readonly #o: AccessLogOptions;
  readonly #streams = new Set<LogStream>();
  readonly #envoys = new Map<string, number>();
  readonly #reader = new EntryReader();
  #feeds: FeedFactory = () => undefined;
  #isHere = false;

  constructor(options: AccessLogOptions) {
    this.#o = options;
  }

  /** Adds `envoy.service.accesslog.v3.AccessLogService` to a grpc-js server. */
  addTo(server: Server): void {
    const method = methodDefinition(AccessLogService.method.streamAccessLogs);
    server.addService(
      // Bytes that are no message must not end the stream, and with it the records that follow.
      { streamAccessLogs: { ...method, requestDeserialize: asOnTheWire } },
      {
        streamAccessLogs: (
          call: LogCall,
          callback: (error: object | null, response?: StreamAccessLogsResponse) => void,
        ) => {
          this.#receive(call, (error) => callback(toServiceError(error)));
          call.on('end', () => callback(null, create(StreamAccessLogsResponseSchema)));
        },
      },
    );
  }

  /** From now on activity is told there. What is told elsewhere ends, as if its reporters had gone. */
  setTarget(target: ActivityTarget): void {
    const { clock, logger, intervalMs } = this.#o;
    for (const stream of this.#streams) stream.leave();
    if ('sink' in target) {
      const reporters = new Reporters(target.sink, logger, clock.now());
      this.#feeds = (reporter) => localFeed(reporter, { ...target, reporters, clock, intervalMs });
    } else {
      const relay = { open: target.open, intervalMs };
      this.#feeds = (_reporter, introduction) => relayFeed(introduction, relay);
    }
    this.#isHere = 'sink' in target;
    this.#endPassedOn();
  }

  /** Ends every stream; its Envoy comes back, to another process if it can. */
  close(error: GatewayError): void {
    for (const stream of this.#streams) stream.end(error);
  }

  /** Whoever passed a stream on is to look for the leader anew. */
  #endPassedOn(): void {
    for (const stream of this.#streams) if (stream.isPassedOn) stream.end(notLeading());
  }

  #receive(call: LogCall, end: (error: GatewayError) => void): void {
    const isPassedOn = this.#o.isPassedOn(call);
    const stream = new LogStream(call.getPeer(), isPassedOn, end, (...who) => this.#feeds(...who));
    if (isPassedOn && !this.#isHere) {
      end(notLeading());
      return;
    }
    this.#streams.add(stream);
    call.on('data', (bytes: Buffer) => {
      const message = this.#readMessage(bytes, stream.reporter);
      if (message) stream.tell(message, bytes);
      const { records, leftOutMs, malformed } = message ?? UNREADABLE;
      if (this.#o.onRecord) records.forEach(this.#o.onRecord);
      if (isPassedOn) {
        this.#o.onLeftOut?.(leftOutMs);
        return;
      }
      if (message && stream.isFirst) this.#count(stream.reporter, 1);
      if (malformed > 0) this.#o.metrics.malformed(malformed);
      for (const record of records) this.#observe(record);
    });
    call.on('error', (error) => {
      this.#o.logger.warn(
        { reporter: stream.reporter, reason: error.message },
        'access log stream failed',
      );
    });
    call.on('close', () => {
      stream.leave();
      this.#streams.delete(stream);
      if (stream.isKnown && !isPassedOn) this.#count(stream.reporter, -1);
    });
  }

  #observe(record: AccessRecord): void {
    this.#o.metrics.observe(record);
    if (record.kind === 'ended') this.#o.audit.rpc(record);
  }

  #readMessage(bytes: Buffer, envoy: string): AccessLogMessage | undefined {
    try {
      return this.#reader.read(bytes, envoy);
    } catch (error) {
      if (error instanceof MalformedMessage) return undefined;
      throw error;
    }
  }

  #count(envoy: string, change: 1 | -1): void {
    const streams = (this.#envoys.get(envoy) ?? 0) + change;
    if (streams > 0) this.#envoys.set(envoy, streams);
    else this.#envoys.delete(envoy);
    this.#o.metrics.reporters(this.#envoys.size);
  }
}

const UNREADABLE = { records: [], leftOutMs: [], malformed: 1 };

type FeedFactory = (reporter: string, introduction: Buffer | undefined) => ActivityFeed | undefined;

/** One stream. Envoy names itself in the first message only, and has a stream for each worker thread. */
class LogStream {
  readonly isPassedOn: boolean;
  readonly end: (error: GatewayError) => void;
  readonly #feeds: FeedFactory;
  #messages = 0;
  #introduction: Buffer | undefined;
  #feed: ActivityFeed | undefined;
  reporter: string;

  constructor(
    peer: string,
    isPassedOn: boolean,
    end: (error: GatewayError) => void,
    feeds: FeedFactory,
  ) {
    this.reporter = peer;
    this.isPassedOn = isPassedOn;
    this.end = end;
    this.#feeds = feeds;
  }

  /** Whether it has said something. */
  get isKnown(): boolean {
    return this.#messages > 0;
  }

  get isFirst(): boolean {
    return this.#messages === 1;
  }

  tell(message: AccessLogMessage, bytes: Buffer): void {
    if (this.#messages === 0) {
      this.#introduction = message.introduction;
      this.reporter = message.node || this.reporter;
    }
    this.#messages += 1;
    this.#feed ??= this.#feeds(this.reporter, this.#introduction);
    this.#feed?.tell({ ...message, bytes });
  }

  leave(): void {
    this.#feed?.close();
    this.#feed = undefined;
  }
}
