/**
 * Queries that run at a time. A query is an open stream of ExecutePlan or ReattachExecute: it counts
 * while somebody waits for its result.
 */
import type { Principal } from './principal.js';

export interface Query {
  /** Envoy's id of the request, as in its access log. */
  readonly requestId: string;
  readonly sessionId: string;
  readonly principal: Principal;
  readonly team: string;
  readonly namespace: string;
}

/** Asked before a query begins, where the policy limits how many there are at a time. */
export interface QueryAdmission {
  /**
   * Resolves when the query may begin. Rejects with QUERY_LIMIT_EXCEEDED when there was no room for
   * it for `holdMs`, and with anything else when nobody could be asked. Idempotent by its request.
   */
  admit(query: Query, holdMs: number, signal: AbortSignal): Promise<void>;
  /** The result of a query that runs is fetched on: it counts, and is never held. */
  resumed(query: Query): void;
}

/** Holds no query back. */
export const unlimitedQueries: QueryAdmission = {
  admit: () => Promise.resolve(),
  resumed: () => undefined,
};

/** Takes in what access logs tell of queries. */
export interface QueryReports {
  /** `source`: stands for the stream of the access log. */
  running(query: Query, source: object): void;
  /** A request that may have been a query is over, after so long. */
  ended(requestId: string, durationMs: number): void;
  /** The stream has ended: its queries may go on, and others would tell of them. */
  lost(source: object): void;
}
