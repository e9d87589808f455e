/** What is written down for those who ask later who did what. The records' form is in docs/audit.md. */
import type { ErrorCode } from './errors.js';
import type { SparkRpc } from './names.js';
import type { Principal } from './principal.js';

/** What an operator did, or tried to do. Holds no token, no SQL, no body. */
export interface AdminAction {
  /** undefined: it is not known who asked, as when a token was refused. */
  readonly principal: Principal | undefined;
  /** What was asked for: kind of object and verb, such as `driver.drain`. */
  readonly action: string;
  /** Which one it was asked of, such as a driver's uid or a session's id; empty as long as nobody known has asked. */
  readonly object: string;
  /** `refused`: nothing was done. `failed`: it may have been done in part. */
  readonly outcome: 'done' | 'refused' | 'failed';
  /** Code of the GatewayError with which it was refused or failed. */
  readonly code?: ErrorCode;
  /** What else is worth knowing, such as a deadline or the reason that was given. */
  readonly detail?: Readonly<Record<string, string | number | boolean>>;
  readonly requestId?: string;
  /** IP address of whoever asked. */
  readonly client?: string;
}

/** An RPC of a client that has ended, with what was decided about it. What was not found out is undefined. */
export interface AuditedRpc {
  /** Envoy's id of the request. */
  readonly requestId: string;
  readonly startedAtMs: number;
  readonly durationMs: number | undefined;
  /** Id of the Envoy that it went through. */
  readonly envoy: string;
  /** IP address of the client. */
  readonly client: string | undefined;
  readonly method: SparkRpc | 'other';
  /** The verified principal's subject and issuer. */
  readonly principal: string | undefined;
  readonly issuer: string | undefined;
  /** Who the client says it works for; not verified. */
  readonly claimedUser: string | undefined;
  readonly team: string | undefined;
  readonly environment: string | undefined;
  readonly namespace: string | undefined;
  readonly session: string | undefined;
  /** UID of the driver that it was let through to. */
  readonly driver: string | undefined;
  /** Code of the GatewayError with which authz refused it. */
  readonly refusal: string | undefined;
  /** Undefined when the client was given none, as when it went away. */
  readonly grpcStatus: number | undefined;
  /** Envoy's word on how the response came about. */
  readonly details: string;
  /** On the wire, from and to the client. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Of the trace that the request is part of, 32 hexadecimal digits. */
  readonly traceId: string | undefined;
}

/** Takes records in. Both return at once and never throw: what cannot be written is dropped and counted. */
export interface AuditSink {
  rpc(rpc: AuditedRpc): void;
  adminAction(action: AdminAction): void;
}

// Spans of a request's trace, as parts of the gateway begin and end them.

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
