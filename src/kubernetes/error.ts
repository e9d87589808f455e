/** What the API server, or the way to it, answered instead of a result. */

/** Part of `Status`, https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/. */
interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly retryAfterSeconds?: number };
}

export class KubernetesError extends Error {
  override readonly name = 'KubernetesError';
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** `reason` of the API server's Status, such as `Expired`, or the code of a socket's error. */
  readonly reason: string;
  /** When the API server asked to be left alone for a while. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    reason: string,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Whether the request may have been carried out although it failed. */
  get outcomeUnknown(): boolean {
    return this.status === 0 || this.status >= 500;
  }

  /** The resource version asked for is no longer kept: list again. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }
}

/** Reads a `Status`, be it an answer's body or the object of a watch's ERROR event. */
export function errorOfStatus(httpStatus: number, body: unknown, what: string): KubernetesError {
  const status: Status = typeof body === 'object' && body !== null ? body : {};
  const code = status.code ?? httpStatus;
  const reason = status.reason ?? `HTTP ${code}`;
  const retryAfterSeconds = status.details?.retryAfterSeconds;
  return new KubernetesError(
    code,
    reason,
    `${what}: ${status.message ?? reason}`,
    retryAfterSeconds === undefined ? {} : { retryAfterMs: retryAfterSeconds * 1000 },
  );
}

export function hasStatus(error: unknown, status: number): boolean {
  return error instanceof KubernetesError && error.status === status;
}

/** Whether the request may have been carried out although it failed. Nothing was sent when the connection was refused. */
export function isOpen(error: unknown): boolean {
  return (
    error instanceof KubernetesError && error.outcomeUnknown && error.reason !== 'ECONNREFUSED'
  );
}
