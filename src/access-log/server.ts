/** Envoy's access log service: activity of sessions, audit lines, metrics. */
import { create, fromBinary } from '@bufbuild/protobuf';
import type { Server, ServerReadableStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AccessLogService,
  type StreamAccessLogsMessage,
  StreamAccessLogsMessageSchema,
  type StreamAccessLogsResponse,
  StreamAccessLogsResponseSchema,
} from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { methodDefinition } from '../grpc/service.js';
import type { ActivitySink } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import { StreamActivity } from './activity.js';
import { audit } from './audit.js';
import type { RequestMetrics } from './metrics.js';
import { type AccessRecord, accessRecord } from './record.js';

export interface AccessLogOptions {
  readonly sink: ActivitySink;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the audit lines go. */
  readonly auditLogger: Logger;
  readonly metrics: RequestMetrics;
  /** How often Envoys report a running RPC, milliseconds (`ListenerSettings.accessLogIntervalMs`). */
  readonly intervalMs: number;
}

type LogCall = ServerReadableStream<StreamAccessLogsMessage | undefined, StreamAccessLogsResponse>;

/** Adds `envoy.service.accesslog.v3.AccessLogService` to a grpc-js server. */
export function addAccessLogService(server: Server, options: AccessLogOptions): void {
  const reporters = new Reporters(options);
  server.addService(
    {
      streamAccessLogs: {
        ...methodDefinition(AccessLogService.method.streamAccessLogs),
        // Bytes that are no message must not end the stream, and with it the records that follow.
        requestDeserialize: readMessage,
      },
    },
    {
      streamAccessLogs: (
        call: LogCall,
        callback: (error: null, response: StreamAccessLogsResponse) => void,
      ) => {
        receive(call, reporters, options);
        call.on('end', () => callback(null, create(StreamAccessLogsResponseSchema)));
      },
    },
  );
}

function readMessage(bytes: Buffer): StreamAccessLogsMessage | undefined {
  try {
    return fromBinary(StreamAccessLogsMessageSchema, bytes);
  } catch {
    return undefined;
  }
}

/** Envoy names itself in a stream's first message only, and has one stream for each worker thread. */
function receive(call: LogCall, reporters: Reporters, options: AccessLogOptions): void {
  let reporter: string | undefined;
  let activity: StreamActivity | undefined;
  call.on('data', (message: StreamAccessLogsMessage | undefined) => {
    const { records, malformed } = readRecords(message);
    if (malformed > 0) options.metrics.malformed(malformed);
    if (reporter === undefined) {
      reporter = message?.identifier?.node?.id || call.getPeer();
      reporters.add(reporter, Math.min(...records.map(({ startedAtMs }) => startedAtMs)));
    }
    activity ??= new StreamActivity(reporter, options.sink, options.clock, options.intervalMs);
    for (const record of records) {
      activity.record(record);
      audit(options.auditLogger, record);
      options.metrics.observe(record);
    }
  });
  call.on('error', (error) => {
    options.logger.warn({ reporter, reason: error.message }, 'access log stream failed');
  });
  call.on('close', () => {
    activity?.close();
    if (reporter !== undefined) reporters.delete(reporter);
  });
}

function readRecords(message: StreamAccessLogsMessage | undefined): {
  readonly records: readonly AccessRecord[];
  readonly malformed: number;
} {
  if (message?.logEntries.case !== 'httpLogs') return { records: [], malformed: 1 };
  const entries = message.logEntries.value.logEntry;
  const records = entries.map(accessRecord).filter((record) => record !== undefined);
  return { records, malformed: entries.length - records.length };
}

/** Who reports now, with the number of streams of each. */
class Reporters {
  readonly #options: AccessLogOptions;
  readonly #streams = new Map<string, number>();
  readonly #sinceMs: number;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.now();
  }

  /** @param earliestMs start of the oldest RPC in the first message; before our own: there is a past we did not see */
  add(reporter: string, earliestMs: number): void {
    const streams = this.#streams.get(reporter) ?? 0;
    this.#streams.set(reporter, streams + 1);
    if (streams > 0) return;
    this.#options.logger.info({ reporter }, 'access log connected');
    if (earliestMs < this.#sinceMs) this.#options.sink.reporterDisconnected(reporter);
    this.#options.sink.reporterConnected(reporter);
    this.#options.metrics.reporters(this.#streams.size);
  }

  delete(reporter: string): void {
    const streams = (this.#streams.get(reporter) ?? 0) - 1;
    if (streams > 0) {
      this.#streams.set(reporter, streams);
      return;
    }
    this.#streams.delete(reporter);
    this.#options.logger.info({ reporter }, 'access log disconnected');
    this.#options.sink.reporterDisconnected(reporter);
    this.#options.metrics.reporters(this.#streams.size);
  }
}
