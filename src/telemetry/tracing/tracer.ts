/** Records the spans of sampled traces. */
import { randomBytes } from 'node:crypto';
import type { Span, SpanAttributes, Tracer } from '../../model/audit.js';
import type { Clock } from '../../model/clock.js';

/** As OTLP numbers them. */
export const SpanKind = { internal: 1, server: 2 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export interface FinishedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  /** Milliseconds since the epoch, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  /** Code of the error that it ended with. */
  readonly failure: string | undefined;
}

/** By how much the wall clock may differ from where the monotonic one would have it. */
const TOLERANCE_MS = 2;

/** Wall time with fractions of a millisecond, which never goes back unless the wall clock was set. */
class FineTime {
  readonly #clock: Clock;
  /** What the monotonic clock lacks to wall time. */
  #offsetMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    const monotonicMs = this.#clock.monotonic();
    // Wall time has whole milliseconds, so that of many looks the one right after a tick is the true one.
    const seenMs = this.#clock.now() - monotonicMs;
    const isLater = seenMs > this.#offsetMs;
    if (isLater || seenMs < this.#offsetMs - TOLERANCE_MS) this.#offsetMs = seenMs;
    return monotonicMs + this.#offsetMs;
  }
}

export class SamplingTracer implements Tracer {
  readonly #time: FineTime;
  readonly #onEnd: (span: FinishedSpan) => void;

  /** `onEnd` returns at once and never throws. */
  constructor(clock: Clock, onEnd: (span: FinishedSpan) => void) {
    this.#time = new FineTime(clock);
    this.#onEnd = onEnd;
  }

  start(name: string, traceparent: string | undefined): Span | undefined {
    const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
    if (!parent?.sampled) return undefined;
    return new RecordedSpan(name, parent, this.#time, this.#onEnd);
  }
}

class RecordedSpan implements Span {
  readonly traceparent: string;
  readonly #name: string;
  readonly #parent: TraceContext;
  readonly #spanId = newSpanId();
  readonly #time: FineTime;
  readonly #onEnd: (span: FinishedSpan) => void;
  readonly #startMs: number;
  readonly #attributes: Record<string, string | number | boolean> = {};

  constructor(
    name: string,
    parent: TraceContext,
    time: FineTime,
    onEnd: (span: FinishedSpan) => void,
  ) {
    this.#name = name;
    this.#parent = parent;
    this.#time = time;
    this.#onEnd = onEnd;
    this.#startMs = time.now();
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
      endMs: this.#time.now(),
      attributes: this.#attributes,
      failure,
    });
  }
}

function newSpanId(): string {
  return randomBytes(8).toString('hex');
}

// W3C Trace Context: https://www.w3.org/TR/trace-context/#traceparent-header.

interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/** A later version may have more parts; ff is not allowed. */
const FORM = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** undefined for text that is not valid. */
export function parseTraceparent(text: string): TraceContext | undefined {
  const [, version, traceId, spanId, flags, rest] = FORM.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === '00' && rest !== undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}
