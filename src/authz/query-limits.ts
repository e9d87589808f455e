/** Has queries wait for their turn where the policy limits how many run at a time. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { type GatewayError, toGatewayError } from '../model/errors.js';
import { limitsQueries } from '../model/limit-refusals.js';
import type { Policy, Target } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import type { Query, QueryAdmission } from '../model/assignment.js';
import type { RequestFacts } from './decision.js';
import type { AuthzMetrics } from './authz-metrics.js';
import type { UnaryCall } from './http2-transport.js';

export interface QueryLimitsOptions {
  readonly admission: QueryAdmission;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: AuthzMetrics;
}

export interface QueryRequest {
  readonly facts: RequestFacts;
  readonly caller: Caller;
  readonly target: Target;
  readonly policy: Policy;
  /** Until when it may be held back. */
  readonly heldUntilMs: number;
}

/** The query's turn has not come, or its request has ended meanwhile. */
const REFUSALS: ReadonlySet<string> = new Set(['QUERY_LIMIT_EXCEEDED', 'DRIVER_STARTING']);

export class QueryLimits {
  readonly #options: QueryLimitsOptions;
  /** The code for want of an answer with which queries are let through, as it was logged. */
  #trouble: string | undefined;

  constructor(options: QueryLimitsOptions) {
    this.#options = options;
  }

  /**
   * undefined: the request may go on. Else it begins a query where the policy limits them: resolves
   * when that may begin; rejects with one of `REFUSALS`, or when the call is aborted. Without an
   * answer for another reason it is let through: what a known session runs does not depend on the
   * control plane.
   */
  turn(request: QueryRequest, call: UnaryCall): Promise<void> | undefined {
    const { facts, policy, target } = request;
    const { query: part } = facts.method;
    if (part === undefined) return undefined;
    const limits = policy.limits?.(target.namespace);
    if (!limits || !limitsQueries(limits)) return undefined;
    const query = queryOf(request);
    if (part === 'begins') return this.#wait(query, request.heldUntilMs, call.signal);
    this.#options.admission.resumed(query);
    return undefined;
  }

  async #wait(query: Query, untilMs: number, signal: AbortSignal): Promise<void> {
    const { admission, clock } = this.#options;
    try {
      await admission.admit(query, Math.max(0, untilMs - clock.now()), signal);
      this.#answered();
    } catch (thrown) {
      const error = toGatewayError(thrown);
      if (signal.aborted || REFUSALS.has(error.code)) throw thrown;
      this.#letThrough(error);
    }
  }

  #answered(): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#options.logger.info('queries are limited again');
  }

  #letThrough(error: GatewayError): void {
    const { code } = error;
    this.#options.metrics.queryLetThrough(code);
    if (this.#trouble === code) return;
    this.#trouble = code;
    this.#options.logger.warn(
      { code, err: error },
      'queries are let through without their limits: the control plane does not answer',
    );
  }
}

function queryOf({ facts, caller, target }: QueryRequest): Query {
  return {
    requestId: facts.headers.get('x-request-id') ?? randomUUID(),
    sessionId: facts.request.sessionId,
    principal: caller.principal,
    team: target.team,
    namespace: target.namespace,
  };
}
