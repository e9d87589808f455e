/** What an HTTP handler answers with. */
import type { ServerResponse } from 'node:http';
import type { ErrorBody } from '../../model/admin-api.js';
import {
  type GatewayError,
  toGatewayError,
  type ErrorCode,
  GrpcStatus,
} from '../../model/errors.js';

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
  return { ...answer, headers: { ...answer.headers, ...failureHeaders(error), ...headers } };
}

/** What clients of any kind look for: when to come back, and how to say who they are. */
export function failureHeaders(error: GatewayError): Readonly<Record<string, string>> {
  return { ...retryAfter(error), ...challenge(error) };
}

function errorBody({ code, message }: GatewayError): ErrorBody {
  return { code, message };
}

/** RFC 9110 section 10.2.3. */
function retryAfter({ retryAfterMs }: GatewayError): Readonly<Record<string, string>> {
  return retryAfterMs === undefined ? {} : { 'retry-after': `${Math.ceil(retryAfterMs / 1000)}` };
}

/** RFC 6750 section 3. */
function challenge(error: GatewayError): Readonly<Record<string, string>> {
  if (httpStatus(error) !== 401) return {};
  const reason = error.code === 'TOKEN_MISSING' ? '' : ', error="invalid_token"';
  return { 'www-authenticate': `Bearer realm="spark-gateway"${reason}` };
}

// The HTTP status of each refusal and failure.

/** Where HTTP is more exact than gRPC. */
const byCode: Partial<Record<ErrorCode, number>> = {
  HTTP_METHOD_REFUSED: 405,
  HTTP_BODY_TOO_LARGE: 413,
};

/** As https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto maps them. */
const byStatus: Record<GrpcStatus, number> = {
  [GrpcStatus.OK]: 200,
  [GrpcStatus.CANCELLED]: 499,
  [GrpcStatus.UNKNOWN]: 500,
  [GrpcStatus.INVALID_ARGUMENT]: 400,
  [GrpcStatus.DEADLINE_EXCEEDED]: 504,
  [GrpcStatus.NOT_FOUND]: 404,
  [GrpcStatus.ALREADY_EXISTS]: 409,
  [GrpcStatus.PERMISSION_DENIED]: 403,
  [GrpcStatus.RESOURCE_EXHAUSTED]: 429,
  [GrpcStatus.FAILED_PRECONDITION]: 400,
  [GrpcStatus.ABORTED]: 409,
  [GrpcStatus.OUT_OF_RANGE]: 400,
  [GrpcStatus.UNIMPLEMENTED]: 501,
  [GrpcStatus.INTERNAL]: 500,
  [GrpcStatus.UNAVAILABLE]: 503,
  [GrpcStatus.DATA_LOSS]: 500,
  [GrpcStatus.UNAUTHENTICATED]: 401,
};

export function httpStatus({ code, status }: GatewayError): number {
  return byCode[code] ?? byStatus[status];
}

/** Text as HTML shows it, also within an attribute's double quotes. */
export function escapeHtml(raw: string): string {
  return raw
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
