/** Requests to the admin API. */
import type { ErrorBody } from '../../model/admin-api.js';

/** A refusal or a failure; the message is for people. */
export class ApiError extends Error {
  /** 0: no answer came. */
  readonly status: number;
  readonly code: string;

  constructor(status: number, { code, message }: ErrorBody) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Rejects with an ApiError. */
export function get<T>(path: string): Promise<T> {
  return ask<T>(path, {});
}

/** @param forgeryToken of `GET me` */
export function post<T>(path: string, body: unknown, forgeryToken: string): Promise<T> {
  return postText<T>(path, JSON.stringify(body), 'application/json', forgeryToken);
}

/** The same with a body that is written already. */
export function postText<T>(
  path: string,
  body: string,
  type: string,
  forgeryToken: string,
): Promise<T> {
  const headers = { 'content-type': type, 'x-spark-console-token': forgeryToken };
  return ask<T>(path, { method: 'POST', headers, body });
}

/** Why this is refused; undefined: it is not, or no answer comes. */
export async function refusalOf(path: string): Promise<ApiError | undefined> {
  const abort = new AbortController();
  try {
    const response = await fetch(`/api/v1/${path}`, { signal: abort.signal });
    if (response.ok) return undefined;
    const body: unknown = await response.json().catch(() => undefined);
    return new ApiError(response.status, errorOf(body, response.status));
  } catch {
    return undefined;
  } finally {
    abort.abort();
  }
}

/** Leaves the console in this browser. */
export async function signOut(): Promise<void> {
  await fetch('/auth/sign-out', { method: 'POST' });
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, { ...init, signal: AbortSignal.timeout(30_000) });
  } catch {
    throw new ApiError(0, { code: 'NO_ANSWER', message: 'The gateway does not answer.' });
  }
  const body: unknown = await response.json().catch(() => undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server that serves this page has the same types
  if (response.ok) return body as T;
  throw new ApiError(response.status, errorOf(body, response.status));
}

function errorOf(body: unknown, status: number): ErrorBody {
  const error: unknown = isObject(body) ? body['error'] : undefined;
  const { code, message } = isObject(error) ? error : {};
  return typeof code === 'string' && typeof message === 'string'
    ? { code, message }
    : { code: 'UNREADABLE', message: `The gateway answered with status ${status}.` };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
