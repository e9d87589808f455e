/** Records the spans of sampled traces. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../model/clock.js';
import type { Span, SpanAttributes, Tracer } from '../model/tracing.js';
import { formatTraceparent, parseTraceparent, type TraceContext } from './traceparent.js';

/** As OTLP numbers them. */
export const SpanKind = { internal: 1, server: 2 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export interface FinishedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  /** Code of the error that it ended with. */
  readonly failure: string | undefined;
}

export class SamplingTracer implements Tracer {
  readonly #clock: Clock;
  readonly #onEnd: (span: FinishedSpan) => void;

  /** `onEnd` returns at once and never throws. */
  constructor(clock: Clock, onEnd: (span: FinishedSpan) => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  start(name: string, traceparent: string | undefined): Span | undefined {
    const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
    if (!parent?.sampled) return undefined;
    return new RecordedSpan(name, parent, this.#clock, this.#onEnd);
  }
}

class RecordedSpan implements Span {
  readonly traceparent: string;
  readonly #name: string;
  readonly #parent: TraceContext;
  readonly #spanId = newSpanId();
  readonly #clock: Clock;
  readonly #onEnd: (span: FinishedSpan) => void;
  readonly #startMs: number;
  readonly #attributes: Record<string, string | number | boolean> = {};

  constructor(
    name: string,
    parent: TraceContext,
    clock: Clock,
    onEnd: (span: FinishedSpan) => void,
  ) {
    this.#name = name;
    this.#parent = parent;
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.#startMs = clock.now();
    this.traceparent = formatTraceparent({ ...parent, spanId: this.#spanId });
  }

  set(name: string, value: string | number | boolean): void {
    this.#attributes[name] = value;
  }

  addPart(name: string, startMs: number, endMs: number, attributes: SpanAttributes): void {
    this.#onEnd({
      name,
      kind: SpanKind.internal,
      traceId: this.#parent.traceId,
      spanId: newSpanId(),
      parentId: this.#spanId,
      startMs,
      endMs,
      attributes,
      failure: undefined,
    });
  }

  end(failure?: string): void {
    this.#onEnd({
      name: this.#name,
      kind: SpanKind.server,
      traceId: this.#parent.traceId,
      spanId: this.#spanId,
      parentId: this.#parent.spanId,
      startMs: this.#startMs,
      endMs: this.#clock.now(),
      attributes: this.#attributes,
      failure,
    });
  }
}

function newSpanId(): string {
  return randomBytes(8).toString('hex');
}
