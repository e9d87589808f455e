/** Decides Envoy's checks: a request's first bytes and headers in, what Envoy is to do out. */
import type { Logger } from 'pino';
import type {
  ActivitySink,
  Assigner,
  Assignment,
  QueryAdmission,
  SeenRequestSink,
} from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, GrpcStatus, toGatewayError } from '../model/errors.js';
import type { Interrupt, InterruptChannel } from '../model/interrupt.js';
import { limitsQueries, RateLimiter, refuseByRate } from '../model/limits.js';
import type { Policy, Target } from '../model/policy.js';
import type { Caller, Principal } from '../model/principal.js';
import type { Span, Tracer } from '../model/audit.js';
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
import { andThen, type Eventually } from './grpc-wire.js';
import type { AuthzMetrics } from './server.js';
import { QueryLimits } from './query-limits.js';
import {
  allowedResponse,
  answeredResponse,
  deniedResponse,
  type Metadata,
  withNewSession,
} from './response.js';
import { decide, Shadow, ShadowTally } from './shadow.js';
import type { TokenVerifier } from './token/verifier.js';
import type { UnaryCall } from './http2-transport.js';
import { unknownSessionAnswer } from './unknown-session.js';
import { WaitingRequests } from './waiting-requests.js';

export interface CheckServiceOptions {
  /** The policy now; asked at every check. */
  readonly policy: () => Policy;
  /** A policy that is tried out: what it would decide otherwise is reported. */
  readonly shadowPolicy?: () => Policy | undefined;
  /** Told of what that would decide otherwise. */
  readonly shadowTally?: ShadowTally;
  readonly assigner: Assigner;
  readonly activity: Pick<ActivitySink, 'activity'>;
  readonly seen: SeenRequestSink;
  readonly queries: QueryAdmission;
  readonly interrupts: InterruptChannel;
  readonly verifier: TokenVerifier;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: AuthzMetrics;
  readonly tracer: Tracer;
  readonly headers: HeaderNames;
  /** The longest time that a check waits, for a driver and for its query's turn, milliseconds. Shorter than the filter's timeout. */
  readonly holdMs: number;
  /** How long after its end an owner's token is still good for what finishes a running query, milliseconds. */
  readonly expiredTokenGraceMs: number;
}

export type Decision =
  | { readonly allowed: true; readonly response: AllowedResponse }
  | { readonly allowed: false; readonly response: DeniedResponse };

type DecisionCode = Parameters<AuthzMetrics['decided']>[0]['code'];
type AssignRequests = ReturnType<typeof assignRequests>;
type KnownMetadata = { -readonly [Key in keyof Metadata]: Metadata[Key] };

/** Who asks, and where the policy sends it. */
interface Authorized {
  readonly authenticated: Authenticated;
  readonly target: Target;
  readonly policy: Policy;
}

/** What was found out so far, for the access log, the refusal's log line and the metrics. */
class Checking {
  readonly startedMs = performance.now();
  readonly span: Span | undefined;
  readonly metadata: KnownMetadata = {};
  method: string | undefined;

  constructor(span: Span | undefined) {
    this.span = span;
  }
}

export class CheckService {
  readonly #options: CheckServiceOptions;
  readonly #shadow: Shadow;
  readonly #rates = new RateLimiter();
  readonly #queries: QueryLimits;
  readonly #waiting = new WaitingRequests();

  constructor(options: CheckServiceOptions) {
    this.#options = options;
    const { clock, interrupts, logger, metrics, queries, shadowPolicy } = options;
    this.#queries = new QueryLimits({ admission: queries, clock, logger, metrics });
    interrupts.onInterrupt((interrupt) => void this.#waiting.interrupt(interrupt));
    const candidate = shadowPolicy ?? (() => undefined);
    const tally = options.shadowTally ?? new ShadowTally(clock);
    this.#shadow = new Shadow({ candidate, tally, logger, metrics });
  }

  /**
   * Decides one request, at once if all that it takes is remembered; a refusal is an answer. Fails
   * only when nobody waits for the answer any more: a call that is aborted with a GatewayError is
   * refused with it.
   */
  check(request: CheckRequest, call: UnaryCall): Eventually<Decision> {
    const checking = new Checking(this.#options.tracer.start('authz check', call.traceparent));
    try {
      const decided = this.#decide(request, checking, call);
      return decided instanceof Promise
        ? decided.catch((error: unknown) => this.#refuse(error, checking, call))
        : decided;
    } catch (error) {
      return this.#refuse(error, checking, call);
    }
  }

  #decide(request: CheckRequest, checking: Checking, call: UnaryCall): Eventually<Decision> {
    const { metadata } = checking;
    const { clock, holdMs } = this.#options;
    const heldUntilMs = clock.now() + holdMs;
    const policy = this.#options.policy();
    const facts = readFacts(request, this.#options.headers);
    checking.method = facts.method.name;
    metadata.session = facts.request.sessionId;
    metadata.claimed_user = facts.claimedUser;
    return andThen(this.#authenticate(facts, policy), (authenticated) => {
      const { caller } = authenticated;
      const target = this.#authorize(facts, caller, policy, metadata);
      this.#refuseByRate(facts, caller, target, policy);
      const authorized: Authorized = { authenticated, target, policy };
      const assigned = this.#assign(facts, authorized, holdMs, checking, call);
      const decided = andThen(
        assigned instanceof Promise ? this.#interruptible(assigned, facts, caller, call) : assigned,
        (assignment): Eventually<Decision> => {
          this.#allowed(facts, authorized, assignment, metadata);
          const turn = this.#queries.turn({ facts, caller, target, policy, heldUntilMs }, call);
          const held = turn && this.#interruptible(turn, facts, caller, call);
          const later = held?.then(() =>
            this.#assignLater(facts, authorized, heldUntilMs, checking, call),
          );
          return andThen(later ?? assignment, (current) => {
            const stamped = allowedResponse(current, facts.headers, metadata);
            const { givenSessionId } = facts;
            const response =
              givenSessionId === undefined ? stamped : withNewSession(stamped, givenSessionId);
            this.#end(checking, 'OK');
            return { allowed: true, response };
          });
        },
      );
      return decided instanceof Promise
        ? decided.catch((error: unknown) => this.#answer(error, facts, caller, checking))
        : decided;
    });
  }

  /** A request that may begin something can be interrupted for as long as it waits here. */
  async #interruptible<T>(
    work: Promise<T>,
    facts: RequestFacts,
    { principal }: Caller,
    call: UnaryCall,
  ): Promise<T> {
    if (!facts.method.mayCreate) return work;
    const operation = facts.operation?.();
    const abort = (reason: GatewayError) => call.abort(reason);
    const over = this.#waiting.add(facts.request.sessionId, { principal, operation, abort });
    return work.finally(over);
  }

  /** What Spark says of a session that has run nothing needs no driver. Rejects with what else is wrong. */
  async #answer(
    error: unknown,
    facts: RequestFacts,
    { principal }: Caller,
    checking: Checking,
  ): Promise<Decision> {
    if (!(error instanceof GatewayError) || error.code !== 'SESSION_UNKNOWN') throw error;
    const { sessionId } = facts.request;
    const interrupt = interruptOf(facts, principal);
    const interrupted = interrupt ? this.#waiting.interrupt(interrupt) : [];
    // What the client asks for next must not be taken for what it ends with this.
    if (interrupt) await this.#options.interrupts.interrupt(interrupt);
    const operation = facts.operation?.();
    const method = facts.method.name;
    const reads = facts.config?.reads ?? [];
    const answer = unknownSessionAnswer({ method, sessionId, operation, interrupted, reads });
    if (!answer) throw error;
    const response = answeredResponse(answer, checking.metadata);
    this.#end(checking, 'OK');
    return { allowed: true, response };
  }

  /** While its query waited, a session may have ended, and the policy may have become another one. */
  async #assignLater(
    facts: RequestFacts,
    before: Authorized,
    heldUntilMs: number,
    checking: Checking,
    call: UnaryCall,
  ): Promise<Assignment> {
    const policy = this.#options.policy();
    let authorized = before;
    if (policy !== before.policy) {
      const authenticated = await this.#authenticate(facts, policy);
      const target = this.#authorize(facts, authenticated.caller, policy, checking.metadata);
      authorized = { authenticated, target, policy };
    }
    const leftMs = Math.max(0, heldUntilMs - this.#options.clock.now());
    return this.#assign(facts, authorized, leftMs, checking, call);
  }

  #authenticate(facts: RequestFacts, policy: Policy): Eventually<Authenticated> {
    const { verifier, clock, expiredTokenGraceMs } = this.#options;
    if (facts.token === undefined) return authenticateWithoutToken(facts, policy);
    // New issuers fetch their keys; `verify` waits for those that it needs.
    void verifier.useIssuers(policy.issuers);
    return andThen(verifier.verify(facts.token), (token) =>
      authenticateWithToken(facts, token, clock.now(), expiredTokenGraceMs),
    );
  }

  #authorize(facts: RequestFacts, caller: Caller, policy: Policy, metadata: KnownMetadata): Target {
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
    return target;
  }

  #refuseByRate(facts: RequestFacts, caller: Caller, target: Target, policy: Policy): void {
    // What finishes or ends running work is never held up.
    const limits = facts.method.graceful ? undefined : policy.rateLimits?.(target.namespace);
    if (!limits) return;
    const of = { ...target, principal: caller.principal };
    const nowMs = this.#options.clock.now();
    const refusal = refuseByRate('requests', this.#rates, limits.requests, of, nowMs);
    if (refusal) throw refusal;
  }

  #assign(
    facts: RequestFacts,
    { authenticated, target }: Authorized,
    holdMs: number,
    { span }: Checking,
    call: UnaryCall,
  ): Eventually<Assignment> {
    const traceparent = span?.traceparent;
    const asked = assignRequests(facts, authenticated.caller, target, { holdMs, traceparent });
    const known = asked.clone ? undefined : this.#options.assigner.remembered?.(asked.session);
    if (!known) {
      // Nothing is there to be cleaned up in a session that nobody knows.
      const isCleanUp = facts.operation?.().isCleanUp === true;
      const session = isCleanUp ? { ...asked.session, mayCreate: false } : asked.session;
      return this.#ask({ ...asked, session }, authenticated, call.signal);
    }
    checkAssignment(known, asked.session);
    return known;
  }

  async #ask(
    { session, clone }: AssignRequests,
    { expiredAtMs }: Authenticated,
    signal: AbortSignal,
  ): Promise<Assignment> {
    const { assigner } = this.#options;
    try {
      const assignment = await assigner.assign(session, signal);
      checkAssignment(assignment, session);
      if (clone) {
        const cloned = await assigner.assign(clone, signal);
        checkAssignment(cloned, clone);
        checkClone(assignment, cloned);
      }
      return assignment;
    } catch (error) {
      if (expiredAtMs !== undefined && error instanceof GatewayError) {
        throw withoutGrace(error, expiredAtMs);
      }
      throw error;
    }
  }

  #allowed(
    facts: RequestFacts,
    { authenticated: { caller }, target, policy }: Authorized,
    assignment: Assignment,
    metadata: KnownMetadata,
  ): void {
    const { sessionId, newSessionId, allowReconnect } = facts.request;
    metadata.driver = assignment.driverUid;
    if (allowReconnect) metadata.comes_back = 'true';
    this.#reportActivity(facts);
    if (facts.interrupt) this.#interruptTurns(facts, caller, target, policy);
    this.#seen(facts, caller, sessionId);
    if (newSessionId !== undefined) this.#seen(facts, caller, newSessionId);
  }

  /** The driver ends what it runs; what waits for its turn is not there yet. */
  #interruptTurns(facts: RequestFacts, { principal }: Caller, target: Target, policy: Policy) {
    const interrupt = interruptOf(facts, principal);
    const limits = policy.limits?.(target.namespace);
    if (!interrupt || !limits || !limitsQueries(limits)) return;
    this.#waiting.interrupt(interrupt);
    void this.#options.interrupts.interrupt(interrupt);
  }

  #refuse(thrown: unknown, checking: Checking, { abortReason }: UnaryCall): Decision {
    if (abortReason && !(abortReason instanceof GatewayError)) {
      this.#end(checking, 'CANCELLED');
      throw thrown;
    }
    const error = toGatewayError(thrown);
    checking.metadata.refusal = error.code;
    this.#logRefusal(error, checking);
    const response = deniedResponse(error, checking.metadata);
    this.#end(checking, error.code);
    return { allowed: false, response };
  }

  #end({ span, method, metadata, startedMs }: Checking, code: DecisionCode): void {
    if (span) endSpan(span, method, metadata, code);
    this.#options.metrics.decided({
      code,
      method: method ?? 'unknown',
      team: metadata.team,
      environment: metadata.environment,
      durationMs: performance.now() - startedMs,
    });
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

  #logRefusal(error: GatewayError, { method, metadata }: Checking): void {
    const { logger } = this.#options;
    const fields = { code: error.code, method, ...metadata };
    if (error.code === 'INTERNAL') logger.error({ ...fields, err: error }, 'check failed');
    else if (error.status === GrpcStatus.UNAVAILABLE) {
      logger.debug({ ...fields, retryAfterMs: error.retryAfterMs }, error.message);
    } else logger.info(fields, error.message);
  }
}

/** What the request ends of its session. */
function interruptOf(
  { interrupt, method, request }: RequestFacts,
  principal: Principal,
): Interrupt | undefined {
  const { sessionId, allowReconnect } = request;
  if (interrupt) return { sessionId, principal, ...interrupt };
  const isRelease = method.allowReconnectField !== undefined && !allowReconnect;
  return isRelease ? { sessionId, principal } : undefined;
}

/** What is in the access log is enough to find the span by. */
function endSpan(
  span: Span,
  method: string | undefined,
  metadata: KnownMetadata,
  code: string,
): void {
  if (method !== undefined) span.set('rpc.method', method);
  for (const key of ['session', 'team', 'environment', 'driver'] as const) {
    const value = metadata[key];
    if (value !== undefined) span.set(`spark_gateway.${key}`, value);
  }
  span.set('spark_gateway.decision', code);
  span.end(code === 'OK' ? undefined : code);
}
