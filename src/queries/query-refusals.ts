/** Why a query does not begin now. */
import type { Query } from '../model/assignment.js';
import { GatewayError } from '../model/errors.js';
import { RETRY_MS } from '../model/refusals.js';
import type { FullLimit } from './query-table.js';

export function queryLimitExceeded(
  { scope, limit }: FullLimit,
  { team, namespace }: Query,
  waitedMs: number,
): GatewayError {
  const who = {
    session: 'This session runs',
    principal: 'You run',
    team: `Team ${team} runs`,
    namespace: `${namespace} runs`,
  }[scope];
  const isOwn = scope === 'session' || scope === 'principal';
  return new GatewayError(
    'QUERY_LIMIT_EXCEEDED',
    `${who} ${limit} ${limit === 1 ? 'query' : 'queries'}, as many as the policy allows at a time; yours has waited ${Math.round(waitedMs / 1000)} s for its turn. ` +
      `Try again when one has ended${isOwn ? ', or end one with spark.interruptAll()' : ''}.`,
    { retryAfterMs: RETRY_MS },
  );
}

export function tooManyQueriesWaiting(namespace: string, waiting: number): GatewayError {
  return new GatewayError(
    'QUERY_LIMIT_EXCEEDED',
    `As many queries run as the policy allows at a time, and ${waiting} wait in ${namespace} already. Try again later.`,
    { retryAfterMs: 15_000 },
  );
}
