/** Refusals and failures as RFC 9457 describes them: application/problem+json. */
import { STATUS_CODES } from 'node:http';
import { type Answer, failureHeaders, httpStatus, json } from '../lib/http/answer.js';
import { toGatewayError } from '../model/errors.js';
import type { ProblemView } from '../model/playground-api.js';

/** What is not a GatewayError is INTERNAL without its text. */
export function problem(
  thrown: unknown,
  headers: Readonly<Record<string, string | string[]>> = {},
): Answer {
  const error = toGatewayError(thrown);
  const status = httpStatus(error);
  const body: ProblemView = {
    // RFC 9457 section 4.2.1: what `code` says is no other than the status and the detail.
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    ...(error.problems.length === 0
      ? {}
      : { errors: error.problems.map(({ message: detail, ...place }) => ({ ...place, detail })) }),
  };
  const answer = json(body, status);
  const type = { 'content-type': 'application/problem+json' };
  return { ...answer, headers: { ...type, ...failureHeaders(error), ...headers } };
}
