/** Requests to the admin API. */
import {
  type ApiError,
  ask,
  type Failure,
  failureOf,
  type ReadFailure,
} from '../../lib/page/request.js';
import { isObject } from '../../model/json.js';

const ROOT = '/api/v1';

/** Rejects with an ApiError. */
export function get<T>(path: string): Promise<T> {
  return ask<T>(`${ROOT}/${path}`, {}, readError);
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
  return ask<T>(`${ROOT}/${path}`, { method: 'POST', headers, body }, readError);
}

/** Why this is refused; undefined: it is not, or no answer comes. */
export async function refusalOf(path: string): Promise<ApiError | undefined> {
  const abort = new AbortController();
  try {
    const response = await fetch(`${ROOT}/${path}`, { signal: abort.signal });
    return response.ok ? undefined : await failureOf(response, readError);
  } catch {
    return undefined;
  } finally {
    abort.abort();
  }
}

/** `{"error": {"code", "message"}}`. */
const readError: ReadFailure = (body): Failure | undefined => {
  const error = isObject(body) ? body['error'] : undefined;
  const { code, message } = isObject(error) ? error : {};
  return typeof code === 'string' && typeof message === 'string' ? { code, message } : undefined;
};
