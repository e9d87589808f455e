/** Sends finished spans to a collector. Those that it does not take in time are dropped and counted. */
import { create } from '@bufbuild/protobuf';
import { Counter, type Registry } from 'prom-client';
import type { Resource } from '#gen/otlp/common_pb.js';
import {
  ExportTraceServiceRequestSchema,
  type Span as SpanMessage,
  SpanSchema,
  TraceService,
} from '#gen/otlp/trace_pb.js';
import { attributes, nanoseconds, type OtlpClient } from '../../lib/grpc/otlp.js';
import type { Clock } from '../../model/clock.js';
import type { FinishedSpan } from './tracer.js';

export interface SpanExporterOptions {
  readonly client: Pick<OtlpClient, 'send' | 'close'>;
  /** Who sends. */
  readonly resource: Resource;
  readonly clock: Clock;
  readonly registry: Registry;
}

/** That are not under way to the collector. */
const MOST_WAITING = 8_192;
const BATCH = 512;
const LINGER_MS = 1_000;
const SCOPE = 'spark_gateway';
const SAMPLED = 1;
const STATUS_ERROR = 2;

export class SpanExporter {
  readonly #o: SpanExporterOptions;
  readonly #sent: Counter;
  readonly #dropped: Counter;
  #waiting: FinishedSpan[] = [];
  #sending: Promise<void> | undefined;
  #isScheduled = false;

  constructor(options: SpanExporterOptions) {
    this.#o = options;
    const registers = [options.registry];
    this.#sent = new Counter({
      name: 'spark_gateway_trace_spans_total',
      help: 'Spans that a collector has taken.',
      registers,
    });
    this.#dropped = new Counter({
      name: 'spark_gateway_trace_spans_dropped_total',
      help: 'Spans that were dropped, as the collector was away, too slow or refused them.',
      registers,
    });
  }

  add(span: FinishedSpan): void {
    if (this.#waiting.length >= MOST_WAITING) {
      this.#dropped.inc();
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= BATCH) void this.#flush(BATCH);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#o.clock.setTimer(LINGER_MS, () => {
      this.#isScheduled = false;
      void this.#flush(1);
    });
  }

  /** Sends what is left once. */
  async close(): Promise<void> {
    await this.#sending;
    await this.#flush(1);
    this.#o.client.close();
  }

  /** A batch is sent once: a trace with a gap is worth less than what a queue for it would cost. */
  #flush(least: number): Promise<void> {
    this.#sending ??= this.#send(least).finally(() => (this.#sending = undefined));
    return this.#sending;
  }

  /** Until fewer than `least` wait. */
  async #send(least: number): Promise<void> {
    const { client } = this.#o;
    while (this.#waiting.length >= least) {
      const batch = this.#waiting.splice(0, BATCH);
      try {
        const { partialSuccess } = await client.send(
          TraceService.method.export,
          this.#message(batch),
        );
        const rejected = Number(partialSuccess?.rejectedSpans ?? 0n);
        this.#sent.inc(batch.length - rejected);
        this.#dropped.inc(rejected);
      } catch {
        this.#dropped.inc(batch.length);
      }
    }
  }

  #message(batch: readonly FinishedSpan[]) {
    const { resource } = this.#o;
    return create(ExportTraceServiceRequestSchema, {
      resourceSpans: [
        { resource, scopeSpans: [{ scope: { name: SCOPE }, spans: batch.map(spanMessage) }] },
      ],
    });
  }
}

function spanMessage(span: FinishedSpan): SpanMessage {
  return create(SpanSchema, {
    traceId: Buffer.from(span.traceId, 'hex'),
    spanId: Buffer.from(span.spanId, 'hex'),
    parentSpanId: Buffer.from(span.parentId, 'hex'),
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: nanoseconds(span.startMs),
    endTimeUnixNano: nanoseconds(span.endMs),
    attributes: attributes(span.attributes),
    flags: SAMPLED,
    ...(span.failure === undefined
      ? {}
      : { status: { code: STATUS_ERROR, message: span.failure } }),
  });
}
