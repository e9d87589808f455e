/** What an HTTP handler answers with. */
import type { ServerResponse } from 'node:http';
import type { ErrorBody } from '../model/admin-api.js';
import { type GatewayError, toGatewayError } from '../model/errors.js';
import { httpStatus } from './status.js';

export interface Answer {
  readonly status: number;
  /** Lower-case names; they take the place of the server's own. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** A function writes the body itself, as it comes, and ends the response. */
  readonly body: string | Uint8Array | ((response: ServerResponse) => void);
}

export function json(value: unknown, status = 200): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: `${JSON.stringify(value, undefined, 2)}\n`,
  };
}

export function text(content: string, status = 200): Answer {
  return {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: `${content}\n`,
  };
}

/** `{"error": {"code", "message"}}`; what is not a GatewayError is INTERNAL without its text. */
export function failure(
  thrown: unknown,
  headers: Readonly<Record<string, string | string[]>> = {},
): Answer {
  const error = toGatewayError(thrown);
  const answer = json({ error: errorBody(error) }, httpStatus(error));
  return {
    ...answer,
    headers: { ...answer.headers, ...retryAfter(error), ...challenge(error, answer), ...headers },
  };
}

function errorBody({ code, message }: GatewayError): ErrorBody {
  return { code, message };
}

/** RFC 9110 section 10.2.3. */
function retryAfter({ retryAfterMs }: GatewayError): Readonly<Record<string, string>> {
  return retryAfterMs === undefined ? {} : { 'retry-after': `${Math.ceil(retryAfterMs / 1000)}` };
}

/** RFC 6750 section 3. */
function challenge({ code }: GatewayError, { status }: Answer): Readonly<Record<string, string>> {
  if (status !== 401) return {};
  const reason = code === 'TOKEN_MISSING' ? '' : ', error="invalid_token"';
  return { 'www-authenticate': `Bearer realm="spark-gateway"${reason}` };
}
