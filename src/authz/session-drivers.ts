/** Asks which driver a request's session belongs to, and guards against an answer that is another one's. */
import type { AssignRequest, Assigner, Assignment } from '../model/assignment.js';
import { GatewayError } from '../model/errors.js';
import type { ConfigRequest } from '../model/policy.js';
import { samePrincipal } from '../model/principal.js';
import { userIdChanged } from '../model/refusals.js';
import {
  withoutGrace,
  type Authenticated,
  type Authorized,
  type RequestFacts,
} from './decision.js';
import type { Eventually } from './grpc-wire.js';
import type { UnaryCall } from './http2-transport.js';

export interface AskingOptions {
  /** How long a new session may wait for a driver, milliseconds. */
  readonly holdMs: number;
  readonly traceparent: string | undefined;
  /** Of whose signal only those who wait have need. */
  readonly call: Pick<UnaryCall, 'signal'>;
}

interface AssignRequests {
  readonly session: AssignRequest;
  readonly clone: AssignRequest | undefined;
}

export class SessionDrivers {
  readonly #assigner: Assigner;

  constructor(assigner: Assigner) {
    this.#assigner = assigner;
  }

  /** At once what is remembered. Throws or rejects with the GatewayError that refuses the request. */
  assign(
    facts: RequestFacts,
    authorized: Authorized,
    options: AskingOptions,
  ): Eventually<Assignment> {
    const asked = assignRequests(facts, authorized, options);
    const known = asked.clone ? undefined : this.#assigner.remembered?.(asked.session);
    if (!known) {
      // Nothing is there to be cleaned up in a session that nobody knows.
      const isCleanUp = facts.operation?.().isCleanUp === true;
      const session = isCleanUp ? { ...asked.session, mayCreate: false } : asked.session;
      return this.#ask({ ...asked, session }, authorized.authenticated, options.call.signal);
    }
    checkAssignment(known, asked.session);
    return known;
  }

  async #ask(
    { session, clone }: AssignRequests,
    { expiredAtMs }: Authenticated,
    signal: AbortSignal,
  ): Promise<Assignment> {
    try {
      const assignment = await this.#assigner.assign(session, signal);
      checkAssignment(assignment, session);
      if (clone) {
        const cloned = await this.#assigner.assign(clone, signal);
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
}

/** Guards against an assignment that is not the request's by the policy of now. */
export function checkDriver(
  assignment: Assignment,
  facts: RequestFacts,
  authorized: Authorized,
): void {
  const asked = assignRequests(facts, authorized, { holdMs: 0, traceparent: undefined });
  checkAssignment(assignment, asked.session);
}

/** What to ask for: the session's driver and, for CloneSession, a place for the new session on it. */
function assignRequests(
  facts: RequestFacts,
  { authenticated: { caller }, target }: Authorized,
  { holdMs, traceparent }: Omit<AskingOptions, 'call'>,
): AssignRequests {
  const { method, request } = facts;
  const session: AssignRequest = {
    sessionId: request.sessionId,
    principal: caller.principal,
    userId: request.userId,
    team: target.team,
    environment: target.environment,
    namespace: target.namespace,
    mayCreate: method.mayCreate,
    ...(facts.config && isIncidental(facts.config) ? { incidental: true } : {}),
    holdMs,
    method: method.name,
    traceparent,
  };
  const { newSessionId } = request;
  const clone: AssignRequest | undefined =
    newSessionId === undefined
      ? undefined
      : { ...session, sessionId: newSessionId, cloneOf: request.sessionId };
  return { session, clone };
}

/**
 * What PySpark asks by the way: how it may compress a plan before its first one of any kind, and how to
 * show an error when it has one.
 */
const INCIDENTAL_SETTINGS: ReadonlySet<string> = new Set([
  'spark.connect.session.planCompression.threshold',
  'spark.connect.session.planCompression.defaultAlgorithm',
  'spark.sql.connect.serverStacktrace.enabled',
  'spark.sql.pyspark.jvmStacktrace.enabled',
]);

function isIncidental({ reads, writes, lists, whole }: ConfigRequest): boolean {
  const others = reads.filter((key) => !INCIDENTAL_SETTINGS.has(key));
  return whole && reads.length > 0 && others.length + writes.length + lists.length === 0;
}

/** Guards against an assignment that is not the one asked for. */
function checkAssignment(assignment: Assignment, asked: AssignRequest): void {
  if (!samePrincipal(assignment.principal, asked.principal)) throw sessionOfAnother();
  if ((assignment.userId ?? asked.userId) !== asked.userId) throw userIdChanged();
  if (assignment.namespace !== asked.namespace) {
    throw new GatewayError(
      'SESSION_ELSEWHERE',
      `This session runs for team ${assignment.team} in ${assignment.environment}; ` +
        'use the same team and environment, or start a new session.',
    );
  }
  if (assignment.sessionId !== asked.sessionId || assignment.address === '') {
    throw new GatewayError('INTERNAL', 'The gateway found no usable driver for this session.');
  }
}

/** A clone lives in its source's driver: a place elsewhere means that the new id is already in use. */
function checkClone(source: Assignment, clone: Assignment): void {
  if (source.driverUid !== clone.driverUid) {
    throw new GatewayError(
      'SESSION_ELSEWHERE',
      'The new session id names a session that already runs elsewhere; choose another id.',
    );
  }
}

function sessionOfAnother(): GatewayError {
  return new GatewayError(
    'SESSION_OF_ANOTHER',
    'This session belongs to someone else. Start one of your own.',
  );
}
