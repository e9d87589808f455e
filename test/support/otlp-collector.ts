/** An OpenTelemetry collector that keeps what it is sent, and answers as a test says. */
import { create } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import type { KeyValue } from '#gen/otlp/common_pb.js';
import {
  type ExportLogsServiceRequest,
  type ExportLogsServiceResponse,
  ExportLogsServiceResponseSchema,
  type LogRecord,
  LogsService,
} from '#gen/otlp/logs_pb.js';
import {
  type ExportTraceServiceRequest,
  type ExportTraceServiceResponse,
  ExportTraceServiceResponseSchema,
  type Span,
  TraceService,
} from '#gen/otlp/trace_pb.js';
import { serviceDefinition } from '../../src/lib/grpc/channels.js';

/** `ok` takes all, a number is a gRPC status, `partial` rejects so many records, `silence` never answers. */
export type Answer = 'ok' | 'silence' | number | { readonly partial: number };

export interface ReceivedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly failed: boolean;
}

export class OtlpCollector {
  readonly #server = new Server();
  readonly logs: LogRecord[] = [];
  readonly spans: ReceivedSpan[] = [];
  /** Requests so far, whatever became of them. */
  requests = 0;
  answer: Answer = 'ok';
  address = '';
  readonly #waiting = new Set<() => void>();

  /** @param at `ip:port`; port 0 for a free one */
  static async start(at: string): Promise<OtlpCollector> {
    const collector = new OtlpCollector();
    const port = await new Promise<number>((resolve, reject) => {
      collector.#server.bindAsync(at, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    collector.address = `${at.slice(0, at.lastIndexOf(':'))}:${port}`;
    return collector;
  }

  private constructor() {
    this.#server.addService(serviceDefinition(LogsService), {
      export: (
        { request }: ServerUnaryCall<ExportLogsServiceRequest, ExportLogsServiceResponse>,
        callback: sendUnaryData<ExportLogsServiceResponse>,
      ) => {
        const records = request.resourceLogs.flatMap(({ scopeLogs }) =>
          scopeLogs.flatMap(({ logRecords }) => logRecords),
        );
        this.#answer(callback, () => {
          const { answer } = this;
          const rejected = typeof answer === 'object' ? answer.partial : 0;
          this.logs.push(...records.slice(rejected));
          return create(ExportLogsServiceResponseSchema, {
            partialSuccess: { rejectedLogRecords: BigInt(rejected) },
          });
        });
      },
    });
    this.#server.addService(serviceDefinition(TraceService), {
      export: (
        { request }: ServerUnaryCall<ExportTraceServiceRequest, ExportTraceServiceResponse>,
        callback: sendUnaryData<ExportTraceServiceResponse>,
      ) => {
        this.#answer(callback, () => {
          for (const { resource, scopeSpans } of request.resourceSpans) {
            const service = String(attributesOf(resource?.attributes ?? [])['service.name']);
            for (const { spans } of scopeSpans) {
              this.spans.push(...spans.map((span) => receivedSpan(service, span)));
            }
          }
          return create(ExportTraceServiceResponseSchema);
        });
      },
    });
  }

  /** Resolves when `isSo`, which is asked after every request. */
  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!isSo()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #answer<T>(callback: sendUnaryData<T>, take: () => T): void {
    this.requests += 1;
    if (typeof this.answer === 'number')
      callback({ code: this.answer, details: 'as the test says' });
    else if (this.answer !== 'silence') callback(null, take());
    for (const look of this.#waiting) look();
  }
}

export function attributesOf(values: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(values.map(({ key, value }) => [key, value?.value.value]));
}

function receivedSpan(service: string, span: Span): ReceivedSpan {
  return {
    service,
    name: span.name,
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentId: hex(span.parentSpanId),
    attributes: attributesOf(span.attributes),
    failed: span.status?.code === 2,
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
