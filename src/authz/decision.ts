/** The steps of a check up to the assignment, in their order. Each throws the GatewayError that refuses the request. */
import { randomUUID } from 'node:crypto';
import type { ConfigRequest, PeerCertificate, Policy, Target } from '../model/policy.js';
import { GatewayError } from '../model/errors.js';
import { refuseBySize } from '../model/limit-refusals.js';
import { CLIENT_ADDRESS_HEADER, SPARK_CONNECT_SERVICE } from '../model/names.js';
import type { Caller } from '../model/principal.js';
import { tokenMissing } from '../model/refusals.js';
import type { CheckRequest, Headers } from './check-codec.js';
import type { CheckMemory } from './check-memory.js';
import { readConfigRequest } from './config-request.js';
import { bearerToken, duplicated, refuseDuplicates, peerCertificate } from './credentials.js';
import {
  sparkMethod,
  type SparkMethod,
  messagePrefix,
  readSparkRequest,
  type SparkRequest,
} from './request.js';
import { type Operation, readInterrupt, readOperation } from './operations.js';
import type { VerifiedToken } from './token/verifier.js';

/** What a request says beside its body; nothing in it is verified but `peer` and `sourceAddress`. */
export interface RequestHead {
  readonly method: SparkMethod;
  readonly token: string | undefined;
  readonly peer: PeerCertificate | undefined;
  readonly sourceAddress: string;
  readonly host: string;
  readonly headers: Headers;
}

/** What a request says of itself. */
export interface RequestFacts extends RequestHead {
  readonly request: SparkRequest;
  /** Of CloneSession: the new session's id, where the client names none. */
  readonly givenSessionId?: string;
  /** Of the Config RPC. */
  readonly config?: ConfigRequest;
  /** Of ExecutePlan. Read when it is asked for: most requests go on at once. */
  readonly operation?: () => Operation;
  /** Of Interrupt. */
  readonly interrupt?: ReturnType<typeof readInterrupt>;
  /** Who the client says it works for; recorded, never trusted. */
  readonly claimedUser: string;
}

export interface Authenticated {
  readonly caller: Caller;
  /** When the token ends; undefined without one, and for one that has ended. */
  readonly goodUntilMs?: number;
  /** When the token ended, if it did and is let through for this request only because it did so lately. */
  readonly expiredAtMs?: number;
}

/** Who asks, and where the policy sends it. */
export interface Authorized {
  readonly authenticated: Authenticated;
  readonly target: Target;
  readonly policy: Policy;
}

/** Names of the headers that clients send, in lower case. */
export interface HeaderNames {
  /** Those that say where a request goes; refused when they come twice. */
  readonly routing: readonly string[];
  /** Who the client says it works for. */
  readonly user: string;
}

/** Reads what costs little, and refuses by it: nobody is known yet. */
export function readHead(
  check: CheckRequest,
  names: HeaderNames,
  memory: Pick<CheckMemory, 'credentials' | 'peerCertificates'>,
): RequestHead {
  const { headers } = check;
  const path = upTo('?', check.path);
  const method = sparkMethod(path);
  if (!method) {
    throw new GatewayError(
      'METHOD_UNKNOWN',
      `This is not an RPC of ${SPARK_CONNECT_SERVICE} 3.5 to 4.x.`,
    );
  }
  refuseDuplicates(headers, names.routing);
  return {
    method,
    token: bearerToken(headers, memory.credentials),
    peer: peerCertificate(check, memory.peerCertificates),
    sourceAddress: headers.get(CLIENT_ADDRESS_HEADER) ?? check.sourceAddress,
    host: hostName(check.host),
    headers,
  };
}

/** Reads the body, for somebody who is known. Throws REQUEST_UNREADABLE. */
export function readFacts(
  head: RequestHead,
  body: Buffer,
  names: HeaderNames,
  memory: Pick<CheckMemory, 'ids' | 'inflater'>,
): RequestFacts {
  const { method, headers } = head;
  const message = messagePrefix(body, headers.get('grpc-encoding'), memory.inflater);
  const read = readSparkRequest(message, method, memory.ids);
  const givenSessionId = newSessionIdFor(method, read, body);
  const request = givenSessionId === undefined ? read : { ...read, newSessionId: givenSessionId };
  const claimedUser = (headers.get(names.user) || request.userId).slice(0, 256);
  const facts: RequestFacts = {
    method,
    ...(givenSessionId === undefined ? {} : { givenSessionId }),
    token: head.token,
    peer: head.peer,
    sourceAddress: head.sourceAddress,
    host: head.host,
    headers,
    request,
    claimedUser,
  };
  switch (method.name) {
    case 'Config':
      return { ...facts, config: readConfigRequest(message) };
    case 'ExecutePlan':
      return { ...facts, operation: once(() => readOperation(message)) };
    case 'Interrupt':
      return { ...facts, interrupt: readInterrupt(message) };
    default:
      return facts;
  }
}

/** Without a token: a service by its certificate, else a network by the source address. */
export function authenticateWithoutToken(head: RequestHead, policy: Policy): Authenticated {
  const caller =
    (head.peer && policy.service(head.peer)) ??
    (head.sourceAddress === '' ? undefined : policy.sourceNetwork(head.sourceAddress));
  if (caller) return { caller };
  throw tokenMissing();
}

/** Milliseconds after its end. */
export interface AfterExpiry {
  /** In which a token finishes a query that began with it. */
  readonly queryMs: number;
  /** In which it releases its owner's session. */
  readonly sessionMs: number;
}

/** `sessionId`: of the request, if it can be read. Throws TOKEN_EXPIRED. */
export function authenticateWithToken(
  method: SparkMethod,
  token: VerifiedToken,
  nowMs: number,
  after: AfterExpiry,
  sessionId: () => string | undefined,
): Authenticated {
  const { caller, goodUntilMs } = token;
  if (nowMs < goodUntilMs) return { caller, goodUntilMs };
  const { afterExpiry } = method;
  const graceMs = afterExpiry && (afterExpiry === 'query' ? after.queryMs : after.sessionMs);
  if (graceMs !== undefined && nowMs < goodUntilMs + graceMs) {
    return { caller, expiredAtMs: goodUntilMs };
  }
  throw tokenExpired(goodUntilMs, sessionId());
}

export function authorize(facts: RequestFacts, caller: Caller, policy: Policy): Target {
  let repeated: string | undefined;
  const target = policy.target({
    caller,
    host: facts.host,
    header(name) {
      const value = facts.headers.get(name);
      if (value?.includes(',')) repeated ??= name;
      return value === '' ? undefined : value;
    },
  });
  if (repeated !== undefined) throw duplicated(repeated);
  if (target instanceof GatewayError) throw target;
  const refusal =
    policy.refuseUse(caller, target, facts.host) ??
    policy.refuseUserId(caller, facts.request.userId) ??
    (facts.config && policy.refuseConfig(caller, target, facts.config)) ??
    refuseSize(facts, target, policy);
  if (refusal) throw refusal;
  return target;
}

/** Here a client stream (AddArtifacts) is measured by its first message, all others by their only one. */
function refuseSize(
  { request }: RequestFacts,
  { namespace }: Target,
  policy: Policy,
): GatewayError | undefined {
  const limits = policy.limits?.(namespace);
  return limits && refuseBySize(request.messageBytes, namespace, limits);
}

/**
 * What Envoy is to hold the messages of a client stream to, as only their first one is seen here. undefined: of
 * an RPC with one message, or the policy says nothing.
 */
export function laterMessageLimit(
  { method }: RequestFacts,
  { namespace }: Target,
  policy: Policy,
): number | undefined {
  return method.name === 'AddArtifacts' ? policy.limits?.(namespace)?.messageSizeBytes : undefined;
}

/** A token that has expired is good for its owner's bound session only: elsewhere it is just expired. */
export function withoutGrace(error: GatewayError, expiredAtMs: number): GatewayError {
  return error.code === 'SESSION_UNKNOWN' || error.code === 'SESSION_OF_ANOTHER'
    ? tokenExpired(expiredAtMs)
    : error;
}

/** `sessionId`: of a request that may be its owner's, who can go on with it. */
function tokenExpired(atMs: number, sessionId?: string): GatewayError {
  const ended = `Your token expired at ${new Date(atMs).toISOString()}.`;
  return new GatewayError(
    'TOKEN_EXPIRED',
    sessionId === undefined
      ? `${ended} Get a new one and connect with it: sc://<host>:15002/;token=<token>.`
      : `${ended} Get a new one. Your session, with its views and settings, goes on with SparkSession.builder.remote("sc://<host>:15002/;session_id=${sessionId};token=<token>").create().`,
  );
}

/** The id that Envoy is to write into the message; it cannot where that is compressed. */
function newSessionIdFor(
  { newSessionField }: SparkMethod,
  { newSessionId }: SparkRequest,
  body: Buffer,
): string | undefined {
  if (newSessionField === undefined || newSessionId !== undefined) return undefined;
  if (body[0] === 0) return randomUUID();
  throw new GatewayError(
    'CLONE_SESSION_ID_MISSING',
    'A CloneSession request that is compressed must name the new session. Type: ' +
      'import uuid; spark.cloneSession(new_session_id=str(uuid.uuid4()))',
  );
}

function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** The `:authority` without its port. */
function hostName(authority: string): string {
  const host = authority.startsWith('[')
    ? authority.slice(0, authority.indexOf(']') + 1)
    : upTo(':', authority);
  return host.toLowerCase();
}

/** What comes before the first separator. */
function upTo(separator: string, text: string): string {
  const end = text.indexOf(separator);
  return end === -1 ? text : text.slice(0, end);
}
