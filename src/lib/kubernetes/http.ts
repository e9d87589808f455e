/** One HTTPS exchange, with a limit on its time that can be taken off once the answer has begun. */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { tellingLine } from '../../model/telling-line.js';

/** Finds out about a dead connection while a watch is silent. */
export const TCP_KEEPALIVE_MS = 20_000;
const LARGEST_ANSWER_BYTES = 512 * 1024 * 1024;

/** Aborts `signal` when the time is over or when the caller aborts; `clear` takes both away. */
export interface Limit {
  readonly signal: AbortSignal;
  clear(): void;
}

export function limit(timeoutMs: number, outer: AbortSignal | undefined): Limit {
  const controller = new AbortController();
  const handle = setTimeout(
    () => controller.abort(new Error(`no answer within ${timeoutMs} ms`)),
    timeoutMs,
  );
  const abort = () => controller.abort(new Error('the request was ended'));
  outer?.addEventListener('abort', abort, { once: true });
  if (outer?.aborted === true) abort();
  return {
    signal: controller.signal,
    clear: () => {
      clearTimeout(handle);
      outer?.removeEventListener('abort', abort);
    },
  };
}

/** Resolves with the answer's head; its body is destroyed as soon as `signal` aborts. */
export function exchange(
  url: URL,
  options: RequestOptions,
  body: string | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, options);
    const abort = () => request.destroy(asError(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    request.on('socket', (socket) => socket.setKeepAlive(true, TCP_KEEPALIVE_MS));
    request.on('error', reject);
    request.on('close', () => signal.removeEventListener('abort', abort));
    request.on('response', resolve);
    if (signal.aborted) abort();
    else request.end(body);
  });
}

/** The whole body as text. */
export async function readAll(response: IncomingMessage, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
      size += bytes.length;
      if (size > LARGEST_ANSWER_BYTES) throw new Error('the answer is too large');
      chunks.push(bytes);
    }
  } catch (error) {
    throw asKubernetesError(error, what);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function asKubernetesError(error: unknown, what: string): KubernetesError {
  if (error instanceof KubernetesError) return error;
  const cause = asError(error);
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name;
  return new KubernetesError(0, code, `${what}: ${cause.message}`, { cause });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

// What the API server, or the way to it, answered instead of a result.

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

  /**
   * What is known of the request: `refused` for good, `unknown` where it may have been carried out
   * although it failed, or to be made `later`: the API server sheds load and has not looked at it
   * (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/).
   */
  get verdict(): 'refused' | 'unknown' | 'later' {
    if (this.status === 429) return 'later';
    return this.status === 0 || this.status >= 500 ? 'unknown' : 'refused';
  }

  /** The resource version asked for is no longer kept: list again. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }
}

/** Where the API server sheds load without saying for how long. */
const DEFAULT_RETRY_AFTER_MS = 1_000;
const LONGEST_RETRY_AFTER_MS = 60_000;
/** Admission webhooks and others put whole stacks into messages. */
const LONGEST_MESSAGE = 1_000;

/**
 * Reads a `Status`, be it an answer's body or the object of a watch's ERROR event. Whoever sheds load
 * answers in plain text, with a `Retry-After` header (RFC 9110 section 10.2.3).
 */
export function errorOfStatus(
  httpStatus: number,
  body: unknown,
  what: string,
  retryAfter?: string,
): KubernetesError {
  const status: Status = typeof body === 'object' && body !== null ? body : {};
  const code = status.code ?? httpStatus;
  const reason = status.reason ?? `HTTP ${code}`;
  const seconds = status.details?.retryAfterSeconds;
  const retryAfterMs =
    retryAfterOfHeader(retryAfter) ??
    (seconds === undefined ? undefined : seconds * 1000) ??
    (code === 429 ? DEFAULT_RETRY_AFTER_MS : undefined);
  return new KubernetesError(
    code,
    reason,
    `${what}: ${tellingLine(status.message ?? reason, LONGEST_MESSAGE)}`,
    retryAfterMs === undefined
      ? {}
      : { retryAfterMs: Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS) },
  );
}

function retryAfterOfHeader(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  const ms = Number.isNaN(seconds) ? Date.parse(text) - Date.now() : seconds * 1000;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Whether the API server sheds load: the request was not carried out, and is to be made again. */
export function isLater(error: unknown): error is KubernetesError {
  return error instanceof KubernetesError && error.verdict === 'later';
}

export function hasStatus(error: unknown, status: number): boolean {
  return error instanceof KubernetesError && error.status === status;
}

/** Whether the request may have been carried out although it failed. Nothing was sent when the connection was refused. */
export function isOpen(error: unknown): boolean {
  return (
    error instanceof KubernetesError &&
    error.verdict === 'unknown' &&
    error.reason !== 'ECONNREFUSED'
  );
}

/** Cuts a stream of bytes into its lines; a last line without an end is no line: it was cut off. */
const LARGEST_LINE_BYTES = 16 * 1024 * 1024;

export async function* jsonLines(source: AsyncIterable<unknown>): AsyncGenerator<string, void> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const piece of source) {
    let chunk = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10)) {
      const line = Buffer.concat([...rest, chunk.subarray(0, end)]).toString('utf8');
      rest = [];
      restBytes = 0;
      chunk = chunk.subarray(end + 1);
      if (line !== '') yield line;
    }
    if (chunk.length === 0) continue;
    rest.push(chunk);
    restBytes += chunk.length;
    if (restBytes > LARGEST_LINE_BYTES) throw new Error('a line is too long');
  }
}

/** Cuts a stream of bytes into its lines, each of which is cut at so many bytes. A last line needs no end. */
export async function* textLines(
  source: AsyncIterable<unknown>,
  longestBytes: number,
): AsyncGenerator<string, void> {
  let rest = Buffer.alloc(0);
  const line = (bytes: Buffer) =>
    bytes.subarray(0, longestBytes).toString('utf8').replace(/\r$/, '');
  for await (const piece of source) {
    let chunk = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10)) {
      yield line(Buffer.concat([rest, chunk.subarray(0, end)]));
      rest = Buffer.alloc(0);
      chunk = chunk.subarray(end + 1);
    }
    // What is beyond the longest line is dropped as it comes.
    rest = Buffer.concat([rest, chunk.subarray(0, Math.max(0, longestBytes - rest.length))]);
  }
  if (rest.length > 0) yield line(rest);
}
