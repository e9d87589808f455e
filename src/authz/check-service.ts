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
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { Interrupt, InterruptChannel } from '../model/interrupt.js';
import { limitsQueries, RateLimiter, refuseByRate } from '../model/limit-refusals.js';
import type { Policy, Target } from '../model/policy.js';
import { type Caller, type Principal, principalKey } from '../model/principal.js';
import type { Tracer } from '../model/audit.js';
import type { AllowedResponse, CheckRequest, DeniedResponse } from './check-codec.js';
import { CheckMemory } from './check-memory.js';
import {
  type AfterExpiry,
  authenticateWithoutToken,
  authenticateWithToken,
  laterMessageLimit,
  readFacts,
  readHead,
  type Authenticated,
  type Authorized,
  type HeaderNames,
  type RequestFacts,
  type RequestHead,
} from './decision.js';
import { type Checking, DecisionReports, type KnownMetadata } from './decision-reports.js';
import { andThen, type Eventually } from './grpc-wire.js';
import { askedLease, leasable, leaseSeconds, withLease } from './lease.js';
import type { AuthzMetrics } from './authz-metrics.js';
import { QueryLimits } from './query-limits.js';
import { allowedResponse, answeredResponse, deniedResponse, withOrders } from './response.js';
import { checkDriver, SessionDrivers } from './session-drivers.js';
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
  /** How long Envoy may keep a decision of those that it may keep, milliseconds; 0: not at all. */
  readonly leaseMs: number;
  /** How long after its end an owner's token is still good for what it began. */
  readonly afterExpiry: AfterExpiry;
}

export type Decision =
  | { readonly allowed: true; readonly response: AllowedResponse }
  | { readonly allowed: false; readonly response: DeniedResponse };

/** Of one principal, those that other sidecars are told of. */
const TOLD_INTERRUPTS = { count: 20, perMs: 5_000 };

export class CheckService {
  /** Shared with whoever reads its requests and writes its answers. */
  readonly memory = new CheckMemory();
  readonly #options: CheckServiceOptions;
  readonly #shadow: Shadow;
  readonly #rates = new RateLimiter();
  readonly #queries: QueryLimits;
  readonly #waiting = new WaitingRequests();
  readonly #reports: DecisionReports;
  readonly #drivers: SessionDrivers;

  constructor(options: CheckServiceOptions) {
    this.#options = options;
    const { clock, interrupts, logger, metrics, queries, shadowPolicy } = options;
    this.#reports = new DecisionReports(options);
    this.#drivers = new SessionDrivers(options.assigner);
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
    const checking = this.#reports.begin(request.sourceAddress, call.traceparent);
    try {
      const decided = this.#decide(request, checking, call);
      return decided instanceof Promise
        ? decided.catch((error: unknown) => this.#refuse(error, checking, call))
        : decided;
    } catch (error) {
      return this.#refuse(error, checking, call);
    }
  }

  /** Nothing costs much before it is known who asks: the body is read after that. */
  #decide(request: CheckRequest, checking: Checking, call: UnaryCall): Eventually<Decision> {
    const { clock, headers, holdMs } = this.#options;
    const heldUntilMs = clock.now() + holdMs;
    const policy = this.#options.policy();
    const head = readHead(request, headers, this.memory);
    checking.method = head.method.name;
    const sessionId = () => this.#sessionOf(head, request.body);
    return andThen(this.#authenticate(head, policy, sessionId), (authenticated) => {
      const facts = this.#read(head, request.body, authenticated, checking);
      let authorized = this.#authorized(facts, authenticated, policy, checking);
      this.#refuseByRate(facts, authorized);
      const assigned = this.#assign(facts, authorized, holdMs, checking, call);
      const current =
        assigned instanceof Promise
          ? this.#interruptible(assigned, facts, authorized, call).then(async (assignment) => {
              authorized = await this.#current(facts, authorized, checking);
              checkDriver(assignment, facts, authorized);
              return assignment;
            })
          : assigned;
      const decided = andThen(current, (assignment): Eventually<Decision> => {
        const { caller } = authorized.authenticated;
        this.#allowed(facts, authorized, assignment, checking.metadata);
        const query = { facts, caller, ...authorized, heldUntilMs };
        const turn = this.#queries.turn(query, call);
        const held = turn && this.#interruptible(turn, facts, authorized, call);
        const later = held?.then(() =>
          this.#assignLater(facts, authorized, heldUntilMs, checking, call),
        );
        return andThen(later ?? assignment, (last) => {
          const { metadata } = checking;
          const { userId } = facts.request;
          const { responses } = this.memory;
          const stamped = allowedResponse(last, userId, facts.headers, metadata, responses);
          const ordered = withOrders(stamped, {
            newSessionId: facts.givenSessionId,
            messageLimit: laterMessageLimit(facts, authorized.target, authorized.policy),
          });
          const leased = this.#leased(ordered, facts, authorized);
          const response: AllowedResponse = checking.span ? { ...leased, traced: true } : leased;
          this.#reports.end(checking, 'OK');
          return { allowed: true, response };
        });
      });
      return decided instanceof Promise
        ? decided.catch((error: unknown) => this.#answer(error, facts, authorized, checking))
        : decided;
    });
  }

  /** With a lease, where Envoy asks for one and nothing has to be decided at every request. */
  #leased(
    response: AllowedResponse,
    facts: RequestFacts,
    { authenticated: { goodUntilMs }, policy, target }: Authorized,
  ): AllowedResponse {
    const number = policy.leases ? askedLease(facts) : undefined;
    if (number === undefined || response.metadata['shadow'] !== undefined) return response;
    const rpc = leasable(facts, policy.rateLimits?.(target.namespace));
    if (rpc === undefined) return response;
    const { clock, leaseMs } = this.#options;
    const seconds = leaseSeconds({ leaseMs, nowMs: clock.now(), goodUntilMs });
    return seconds > 0 ? withLease(response, rpc, number, seconds) : response;
  }

  /** A request that may begin something can be interrupted for as long as it waits here. */
  async #interruptible<T>(
    work: Promise<T>,
    facts: RequestFacts,
    { authenticated }: Authorized,
    call: UnaryCall,
  ): Promise<T> {
    if (!facts.method.mayCreate) return work;
    const operation = facts.operation?.();
    const { principal } = authenticated.caller;
    const abort = (reason: GatewayError) => call.abort(reason);
    const over = this.#waiting.add(facts.request.sessionId, { principal, operation, abort });
    return work.finally(over);
  }

  /** What Spark says of a session that has run nothing needs no driver. Rejects with what else is wrong. */
  async #answer(
    error: unknown,
    facts: RequestFacts,
    { authenticated }: Authorized,
    checking: Checking,
  ): Promise<Decision> {
    if (!(error instanceof GatewayError) || error.code !== 'SESSION_UNKNOWN') throw error;
    const { sessionId } = facts.request;
    const interrupt = interruptOf(facts, authenticated.caller.principal);
    const interrupted = interrupt ? this.#waiting.interrupt(interrupt) : [];
    // What the client asks for next must not be taken for what it ends with this.
    if (interrupt) await this.#tellOthers(interrupt);
    const operation = facts.operation?.();
    const method = facts.method.name;
    const reads = facts.config?.reads ?? [];
    const answer = unknownSessionAnswer({ method, sessionId, operation, interrupted, reads });
    if (!answer) throw error;
    const response = answeredResponse(answer, checking.metadata);
    this.#reports.end(checking, 'OK');
    return { allowed: true, response };
  }

  #read(
    head: RequestHead,
    body: Buffer,
    { caller }: Authenticated,
    { metadata }: Checking,
  ): RequestFacts {
    metadata.principal = caller.principal.subject;
    metadata.issuer = caller.principal.issuer;
    const facts = readFacts(head, body, this.#options.headers, this.memory);
    metadata.session = facts.request.sessionId;
    metadata.claimed_user = facts.claimedUser;
    return facts;
  }

  #authorized(
    facts: RequestFacts,
    authenticated: Authenticated,
    policy: Policy,
    { metadata }: Checking,
  ): Authorized {
    const target = this.#authorize(facts, authenticated.caller, policy, metadata);
    return { authenticated, target, policy };
  }

  /** By the policy of now, which may have become another one while this request waited. */
  #current(facts: RequestFacts, before: Authorized, checking: Checking): Eventually<Authorized> {
    const policy = this.#options.policy();
    if (policy === before.policy) return before;
    return andThen(
      this.#authenticate(facts, policy, () => facts.request.sessionId),
      (authenticated) => this.#authorized(facts, authenticated, policy, checking),
    );
  }

  /** While its query waited, a session may have ended, and the policy may have become another one. */
  async #assignLater(
    facts: RequestFacts,
    before: Authorized,
    heldUntilMs: number,
    checking: Checking,
    call: UnaryCall,
  ): Promise<Assignment> {
    const authorized = await this.#current(facts, before, checking);
    const leftMs = Math.max(0, heldUntilMs - this.#options.clock.now());
    return this.#assign(facts, authorized, leftMs, checking, call);
  }

  #authenticate(
    head: RequestHead,
    policy: Policy,
    sessionId: () => string | undefined,
  ): Eventually<Authenticated> {
    const { verifier, clock, afterExpiry } = this.#options;
    if (head.token === undefined) return authenticateWithoutToken(head, policy);
    // New issuers fetch their keys; `verify` waits for those that it needs.
    void verifier.useIssuers(policy.issuers);
    return andThen(verifier.verify(head.token), (token) =>
      authenticateWithToken(head.method, token, clock.now(), afterExpiry, sessionId),
    );
  }

  /** For whoever reads that their token has expired: undefined if the request does not tell. */
  #sessionOf(head: RequestHead, body: Buffer): string | undefined {
    try {
      return readFacts(head, body, this.#options.headers, this.memory).request.sessionId;
    } catch (error) {
      if (error instanceof GatewayError) return undefined;
      throw error;
    }
  }

  #authorize(facts: RequestFacts, caller: Caller, policy: Policy, metadata: KnownMetadata): Target {
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

  #refuseByRate(facts: RequestFacts, { authenticated, target, policy }: Authorized): void {
    // What finishes or ends running work is never held up.
    const limits = facts.method.afterExpiry ? undefined : policy.rateLimits?.(target.namespace);
    if (!limits) return;
    const of = { ...target, principal: authenticated.caller.principal };
    const nowMs = this.#options.clock.now();
    const refusal = refuseByRate('requests', this.#rates, limits.requests, of, nowMs);
    if (refusal) throw refusal;
  }

  #assign(
    facts: RequestFacts,
    authorized: Authorized,
    holdMs: number,
    { span }: Checking,
    call: UnaryCall,
  ): Eventually<Assignment> {
    const traceparent = span?.traceparent;
    return this.#drivers.assign(facts, authorized, { holdMs, traceparent, call });
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
  /**
   * What waits at other sidecars ends, too. Each of them and the leader are told, and an interrupt is never
   * refused: whoever sends them without end is heard here alone, and has nobody's sessions but their own.
   */
  #tellOthers(interrupt: Interrupt): Promise<void> {
    const demand = { key: `i ${principalKey(interrupt.principal)}`, limit: TOLD_INTERRUPTS };
    const isTooMuch = this.#rates.take([demand], this.#options.clock.now()) !== undefined;
    return isTooMuch ? Promise.resolve() : this.#options.interrupts.interrupt(interrupt);
  }

  #interruptTurns(facts: RequestFacts, { principal }: Caller, target: Target, policy: Policy) {
    const interrupt = interruptOf(facts, principal);
    const limits = policy.limits?.(target.namespace);
    if (!interrupt || !limits || !limitsQueries(limits)) return;
    this.#waiting.interrupt(interrupt);
    void this.#tellOthers(interrupt);
  }

  #refuse(thrown: unknown, checking: Checking, { abortReason }: UnaryCall): Decision {
    if (abortReason && !(abortReason instanceof GatewayError)) {
      this.#reports.end(checking, 'CANCELLED');
      throw thrown;
    }
    const error = toGatewayError(thrown);
    checking.metadata.refusal = error.code;
    this.#reports.refused(error, checking);
    const response = deniedResponse(error, checking.metadata);
    this.#reports.end(checking, error.code);
    return { allowed: false, response };
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
