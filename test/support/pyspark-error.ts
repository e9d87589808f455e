export interface ErrorReply {
  readonly class: string;
  readonly message: string;
  readonly code?: string;
  readonly details?: string;
  readonly condition?: string;
  readonly reason?: string;
  readonly domain?: string;
  readonly errorInfo?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number;
}

/** What PySpark raised, as its user sees it. `message` is PySpark's. */
export class PySparkError extends Error {
  override readonly name = 'PySparkError';
  /** The exception's class, such as `SparkConnectGrpcException`. */
  readonly className: string;
  /** gRPC status by name, such as `UNAVAILABLE`; undefined when no call failed. */
  readonly code: string | undefined;
  /** The status message as it came over the wire. */
  readonly details: string | undefined;
  /** Spark's error class, such as `INVALID_HANDLE.SESSION_CHANGED`. */
  readonly condition: string | undefined;
  /** Of google.rpc.ErrorInfo. */
  readonly reason: string | undefined;
  readonly domain: string | undefined;
  readonly errorInfo: Readonly<Record<string, string>>;
  /** Of google.rpc.RetryInfo. */
  readonly retryAfterMs: number | undefined;

  constructor(reply: ErrorReply) {
    super(reply.message);
    this.className = reply.class;
    this.code = reply.code;
    this.details = reply.details;
    this.condition = reply.condition;
    this.reason = reply.reason;
    this.domain = reply.domain;
    this.errorInfo = reply.errorInfo ?? {};
    this.retryAfterMs = reply.retryAfterMs;
  }
}
