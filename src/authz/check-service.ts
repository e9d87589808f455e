/** Decides Envoy's checks: a request's first bytes and headers in, what Envoy is to do out. */
import type { Logger } from 'pino';
import type { ActivitySink, Assigner, Assignment } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, GrpcStatus, toGatewayError } from '../model/errors.js';
import type { AccessMetadata } from '../model/names.js';
import type { Policy } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { RateLimiter } from '../model/rate-limiter.js';
import { refuseByRate } from '../model/rate-limits.js';
import type { SeenRequestSink } from '../model/seen-request.js';
import type { Span, Tracer } from '../model/tracing.js';
import type { AllowedResponse, CheckRequest, DeniedResponse } from './check-codec.js';
import {
  assignRequests,
  authenticateWithoutToken,
  authenticateWithToken,
  checkAssignment,
  checkClone,
  readFacts,
  withoutGrace,
  type Authenticated,
  type HeaderNames,
  type RequestFacts,
} from './decision.js';
import type { AuthzMetrics } from './metrics.js';
import { allowedResponse, deniedResponse } from './response.js';
import { decide, Shadow } from './shadow.js';
import type { TokenVerifier } from './token/verifier.js';

export interface CheckServiceOptions {
  /** The policy now; asked at every check. */
  readonly policy: () => Policy;
  /** A policy that is tried out: what it would decide otherwise is reported. */
  readonly shadowPolicy?: () => Policy | undefined;
  readonly assigner: Assigner;
  readonly activity: Pick<ActivitySink, 'activity'>;
  readonly seen: SeenRequestSink;
  readonly verifier: TokenVerifier;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: AuthzMetrics;
  readonly tracer: Tracer;
  readonly headers: HeaderNames;
  /** The longest time that a check waits for a driver, milliseconds. Shorter than the filter's timeout. */
  readonly holdMs: number;
  /** How long after its end an owner's token is still good for what finishes a running query, milliseconds. */
  readonly expiredTokenGraceMs: number;
}

export type Decision =
  | { readonly allowed: true; readonly response: AllowedResponse }
  | { readonly allowed: false; readonly response: DeniedResponse };

/** What was found out so far, for the access log, the refusal's log line and the metrics. */
interface Known {
  method?: string;
  readonly metadata: {
    [Key in (typeof AccessMetadata)[keyof typeof AccessMetadata]]?: string | undefined;
  };
}

export class CheckService {
  readonly #options: CheckServiceOptions;
  readonly #shadow: Shadow;
  readonly #rates = new RateLimiter();

  constructor(options: CheckServiceOptions) {
    this.#options = options;
    const { logger, metrics, shadowPolicy } = options;
    this.#shadow = new Shadow({ candidate: shadowPolicy ?? (() => undefined), logger, metrics });
  }

  /**
   * Decides one request; a refusal is an answer. Rejects only when nobody waits for the answer any
   * more: a signal that is aborted with a GatewayError has the request refused with it.
   */
  async check(request: CheckRequest, signal: AbortSignal, traceparent?: string): Promise<Decision> {
    const startedMs = performance.now();
    const span = this.#options.tracer.start('authz check', traceparent);
    const known: Known = { metadata: {} };
    const { metadata } = known;
    let code: Parameters<AuthzMetrics['decided']>[0]['code'] = 'OK';
    try {
      const assignment = await this.#decide(request, known, signal, span?.traceparent);
      return { allowed: true, response: allowedResponse(assignment, request.headers, metadata) };
    } catch (thrown) {
      if (signal.aborted && !(signal.reason instanceof GatewayError)) {
        code = 'CANCELLED';
        throw thrown;
      }
      const error = toGatewayError(thrown);
      code = metadata.refusal = error.code;
      this.#logRefusal(error, known);
      return { allowed: false, response: deniedResponse(error, metadata) };
    } finally {
      if (span) endSpan(span, known, code);
      this.#options.metrics.decided({
        code,
        method: known.method ?? 'unknown',
        team: metadata.team,
        environment: metadata.environment,
        durationMs: performance.now() - startedMs,
      });
    }
  }

  async #decide(
    check: CheckRequest,
    known: Known,
    signal: AbortSignal,
    traceparent: string | undefined,
  ): Promise<Assignment> {
    const { headers, assigner, holdMs } = this.#options;
    const { metadata } = known;
    const policy = this.#options.policy();
    const facts = readFacts(check, headers);
    known.method = facts.method.name;
    metadata.session = facts.request.sessionId;
    metadata.claimed_user = facts.claimedUser;

    const authenticated = await this.#authenticate(facts, policy);
    const { caller } = authenticated;
    metadata.principal = caller.principal.subject;
    metadata.issuer = caller.principal.issuer;

    const target = decide(facts, caller, policy);
    metadata.shadow = this.#shadow.report(facts, caller, policy, target);
    if (target instanceof GatewayError) {
      this.#seen(facts, caller, undefined);
      throw target;
    }
    metadata.team = target.team;
    metadata.environment = target.environment;
    metadata.namespace = target.namespace;
    // What finishes or ends running work is never held up.
    const limits = facts.method.graceful ? undefined : policy.rateLimits?.(target.namespace);
    if (limits) {
      const of = { ...target, principal: caller.principal };
      const nowMs = this.#options.clock.now();
      const refusal = refuseByRate('requests', this.#rates, limits.requests, of, nowMs);
      if (refusal) throw refusal;
    }

    const asked = assignRequests(facts, caller, target, { holdMs, traceparent });
    try {
      const assignment = await assigner.assign(asked.session, signal);
      checkAssignment(assignment, asked.session);
      if (asked.clone) {
        const clone = await assigner.assign(asked.clone, signal);
        checkAssignment(clone, asked.clone);
        checkClone(assignment, clone);
      }
      metadata.driver = assignment.driverUid;
      if (facts.request.allowReconnect) metadata.comes_back = 'true';
      this.#reportActivity(facts);
      this.#seen(facts, caller, facts.request.sessionId);
      if (asked.clone) this.#seen(facts, caller, asked.clone.sessionId);
      return assignment;
    } catch (error) {
      if (authenticated.expiredAtMs !== undefined && error instanceof GatewayError) {
        throw withoutGrace(error, authenticated.expiredAtMs);
      }
      throw error;
    }
  }

  async #authenticate(facts: RequestFacts, policy: Policy): Promise<Authenticated> {
    const { verifier, clock, expiredTokenGraceMs } = this.#options;
    if (facts.token === undefined) return authenticateWithoutToken(facts, policy);
    // New issuers fetch their keys; `verify` waits for those that it needs.
    void verifier.useIssuers(policy.issuers);
    const token = await verifier.verify(facts.token);
    return authenticateWithToken(facts, token, clock.now(), expiredTokenGraceMs);
  }

  #reportActivity({ method, request }: RequestFacts): void {
    const { activity, clock } = this.#options;
    const atMs = clock.now();
    const released = method.allowReconnectField !== undefined && !request.allowReconnect;
    activity.activity([{ sessionId: request.sessionId, atMs, released }]);
    if (request.newSessionId !== undefined) {
      activity.activity([{ sessionId: request.newSessionId, atMs, released: false }]);
    }
  }

  #seen(facts: RequestFacts, caller: Caller, sessionId: string | undefined): void {
    const { seen, headers } = this.#options;
    const routing: Record<string, string> = {};
    for (const name of headers.routing) {
      const value = facts.headers.get(name);
      if (value !== undefined) routing[name] = value;
    }
    const { host, request } = facts;
    seen.seen({ sessionId, caller, host, headers: routing, userId: request.userId });
  }

  #logRefusal(error: GatewayError, known: Known): void {
    const { logger } = this.#options;
    const fields = { code: error.code, method: known.method, ...known.metadata };
    if (error.code === 'INTERNAL') logger.error({ ...fields, err: error }, 'check failed');
    else if (error.status === GrpcStatus.UNAVAILABLE) {
      logger.debug({ ...fields, retryAfterMs: error.retryAfterMs }, error.message);
    } else logger.info(fields, error.message);
  }
}

/** What is in the access log is enough to find the span by. */
function endSpan(span: Span, { method, metadata }: Known, code: string): void {
  if (method !== undefined) span.set('rpc.method', method);
  for (const key of ['session', 'team', 'environment', 'driver'] as const) {
    const value = metadata[key];
    if (value !== undefined) span.set(`spark_gateway.${key}`, value);
  }
  span.set('spark_gateway.decision', code);
  span.end(code === 'OK' ? undefined : code);
}
