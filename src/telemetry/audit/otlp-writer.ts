/** Records as OpenTelemetry log records. */
import { create } from '@bufbuild/protobuf';
import type { KeyValue, Resource } from '#gen/otlp/common_pb.js';
import {
  ExportLogsServiceRequestSchema,
  type LogRecord,
  LogRecordSchema,
  LogsService,
} from '#gen/otlp/logs_pb.js';
import {
  anyValue,
  attributes,
  nanoseconds,
  type OtlpClient,
  OtlpRefused,
} from '../../lib/grpc/otlp.js';
import type { Clock } from '../../model/clock.js';
import type { AuditLine, AuditWriter, NotTaken } from './destination.js';
import type { AuditRecord } from './audit-record.js';

export interface OtlpWriterOptions {
  readonly client: OtlpClient;
  /** Who sends. */
  readonly resource: Resource;
  readonly clock: Clock;
}

const SCOPE = 'spark_gateway.audit';
const INFO = 9;
const WARN = 13;

export class OtlpWriter implements AuditWriter {
  readonly #o: OtlpWriterOptions;

  constructor(options: OtlpWriterOptions) {
    this.#o = options;
  }

  async write(batch: readonly AuditLine[]): Promise<NotTaken> {
    const { client, resource, clock } = this.#o;
    const nowMs = clock.now();
    const request = create(ExportLogsServiceRequestSchema, {
      resourceLogs: [
        {
          resource,
          scopeLogs: [
            {
              scope: { name: SCOPE },
              logRecords: batch.map(({ record }) => logRecord(record(), nowMs)),
            },
          ],
        },
      ],
    });
    try {
      const { partialSuccess } = await client.send(LogsService.method.export, request);
      return {
        rejected: Math.min(batch.length, Number(partialSuccess?.rejectedLogRecords ?? 0n)),
      };
    } catch (error) {
      if (error instanceof OtlpRefused) return { rejected: batch.length };
      throw error;
    }
  }

  close(): Promise<void> {
    this.#o.client.close();
    return Promise.resolve();
  }
}

/** Each field is an attribute of its own name under `spark_gateway.`; a detail is one under its own in turn. */
function logRecord({ event, version, timeMs, fields }: AuditRecord, observedMs: number): LogRecord {
  const values: Record<string, string | number | boolean> = { 'spark_gateway.version': version };
  let traceId: Uint8Array | undefined;
  let isWarning = event === 'lost';
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (typeof value !== 'object') {
      if (name === 'traceId') traceId = Buffer.from(`${value}`, 'hex');
      else values[`spark_gateway.${name}`] = value;
    } else {
      for (const [key, part] of Object.entries(value))
        values[`spark_gateway.${name}.${key}`] = part;
    }
    if (name === 'reason') isWarning = true;
  }
  const keyValues: KeyValue[] = attributes(values);
  return create(LogRecordSchema, {
    timeUnixNano: nanoseconds(timeMs),
    observedTimeUnixNano: nanoseconds(observedMs),
    severityNumber: isWarning ? WARN : INFO,
    severityText: isWarning ? 'WARN' : 'INFO',
    eventName: `spark_gateway.audit.${event}`,
    body: anyValue(event),
    attributes: keyValues,
    ...(traceId ? { traceId } : {}),
  });
}
