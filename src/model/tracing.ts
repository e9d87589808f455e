/** Spans of a request's trace, as parts of the gateway begin and end them. */

export interface Tracer {
  /**
   * Begins a span as a child of the caller's.
   * @param traceparent as the caller sent it (https://www.w3.org/TR/trace-context/#traceparent-header)
   * @returns undefined when nothing is recorded: without a parent, or when that is not sampled
   */
  start(name: string, traceparent: string | undefined): Span | undefined;
}

export interface Span {
  /** For those who are asked on the way. */
  readonly traceparent: string;
  /** Never a token, SQL or a body. */
  set(name: string, value: string | number | boolean): void;
  /** A part that is over already, such as the start of a driver. */
  addPart(name: string, startMs: number, endMs: number, attributes: SpanAttributes): void;
  /** @param failure code of the error that it ended with */
  end(failure?: string): void;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export const noTracer: Tracer = { start: () => undefined };
