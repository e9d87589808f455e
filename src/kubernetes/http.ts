/** One HTTPS exchange, with a limit on its time that can be taken off once the answer has begun. */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { KubernetesError } from './error.js';

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
