/** What Envoy is told: the headers that an allowed request leaves with, or the answer to a refused one. */
import { fitForHeaders, statusDetails } from '../lib/grpc/status-details.js';
import type { Assignment } from '../model/assignment.js';
import { GrpcStatus, type GatewayError } from '../model/errors.js';
import {
  AccessMetadata,
  AFFINITY_HEADER,
  ANSWER_HEADER,
  CLUSTER_HEADER,
  IDENTITY_HEADER,
  INTERNAL_HEADER_PREFIX,
  ISSUER_HEADER,
  MESSAGE_LIMIT_HEADER,
  NEW_SESSION_HEADER,
  PIN_HEADER,
  PRINCIPAL_HEADER,
  ringHashKey,
  SESSION_HEADER,
} from '../model/names.js';
import { requestIdentity } from '../model/request-identity.js';
import type { AllowedResponse, DeniedResponse, HeaderMutation, Headers } from './check-codec.js';

/** By the keys of `AccessMetadata`. */
export type Metadata = Readonly<
  Partial<Record<(typeof AccessMetadata)[keyof typeof AccessMetadata], string | undefined>>
>;

interface LastResponse {
  readonly userId: string;
  readonly response: AllowedResponse;
}

/** The last one of each assignment. */
export type LastResponses = WeakMap<Assignment, LastResponse>;

const NOTHING: readonly string[] = [];
const STAMPED = new Set([
  CLUSTER_HEADER,
  AFFINITY_HEADER,
  PIN_HEADER,
  PRINCIPAL_HEADER,
  ISSUER_HEADER,
  SESSION_HEADER,
  IDENTITY_HEADER,
]);
const metadataKeys = Object.values(AccessMetadata);

/**
 * What allows a request of the assignment's session by `userId`, which is what the request says.
 * Nearly all of a session's requests are told the same: then it is the same value as the last time,
 * so that it is encoded once.
 */
export function allowedResponse(
  assignment: Assignment,
  userId: string,
  clientHeaders: Pick<Headers, 'keys'>,
  metadata: Metadata,
  lastResponses: LastResponses,
): AllowedResponse {
  const remove = headersToRemove(assignment, clientHeaders);
  const last = lastResponses.get(assignment);
  if (
    last?.userId === userId &&
    isSameList(last.response.remove, remove) &&
    isSameMetadata(last.response.metadata, metadata)
  ) {
    return last.response;
  }
  const response = { set: headersToSet(assignment, userId), remove, metadata };
  lastResponses.set(assignment, { userId, response });
  return response;
}

/** What Envoy is to do with the messages of some requests. */
export interface MessageOrders {
  /** Of CloneSession: the id that it writes into the message. */
  readonly newSessionId?: string | undefined;
  /** Of AddArtifacts: the greatest size of each message, bytes. */
  readonly messageLimit?: number | undefined;
}

/** As `response`, with orders. */
export function withOrders(
  response: AllowedResponse,
  { newSessionId, messageLimit }: MessageOrders,
): AllowedResponse {
  if (newSessionId === undefined && messageLimit === undefined) return response;
  const set = [...response.set];
  if (newSessionId !== undefined) set.push({ name: NEW_SESSION_HEADER, value: newSessionId });
  if (messageLimit !== undefined) {
    set.push({ name: MESSAGE_LIMIT_HEADER, value: String(messageLimit) });
  }
  return { ...response, set };
}

/** What has Envoy fetch this answer from authz: its framed messages. */
export function answeredResponse(answer: Buffer, metadata: Metadata): AllowedResponse {
  const set = [{ name: ANSWER_HEADER, value: answer.toString('base64') }];
  return { set, remove: ['authorization', 'authentication'], metadata };
}

function headersToSet(assignment: Assignment, userId: string): readonly HeaderMutation[] {
  const set: HeaderMutation[] = [
    { name: CLUSTER_HEADER, value: assignment.cluster },
    { name: AFFINITY_HEADER, value: ringHashKey(assignment.driverUid) },
    { name: PIN_HEADER, value: Buffer.from(assignment.address).toString('base64') },
    { name: PRINCIPAL_HEADER, value: headerValue(assignment.principal.subject) },
    { name: ISSUER_HEADER, value: headerValue(assignment.principal.issuer) },
    { name: SESSION_HEADER, value: assignment.sessionId },
    { name: IDENTITY_HEADER, value: requestIdentity(assignment.sessionId, userId) },
  ];
  // The user's token stays here: whoever runs code in a driver could read it.
  if (assignment.driverToken !== undefined) {
    set.push({ name: 'authorization', value: `Bearer ${assignment.driverToken}` });
  }
  return set;
}

function headersToRemove(
  { driverToken }: Assignment,
  clientHeaders: Pick<Headers, 'keys'>,
): readonly string[] {
  let remove: string[] | undefined;
  for (const name of clientHeaders.keys()) {
    if (!isRemoved(name, driverToken)) continue;
    remove ??= [];
    remove.push(name);
  }
  return remove ?? NOTHING;
}

/** Whether a header of the client is to go, and is not replaced. */
function isRemoved(name: string, driverToken: string | undefined): boolean {
  if (name === 'authorization') return driverToken === undefined;
  if (name === 'authentication') return true;
  return name.startsWith(INTERNAL_HEADER_PREFIX) && !STAMPED.has(name);
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((one, i) => one === b[i]));
}

function isSameMetadata(a: Metadata, b: Metadata): boolean {
  for (const key of metadataKeys) {
    if (a[key] !== b[key]) return false;
  }
  return true;
}

/** Below 4 KiB with all its headers. */
export function deniedResponse(refusal: GatewayError, metadata: Metadata): DeniedResponse {
  const error = fitForHeaders(refusal);
  return {
    httpStatus: httpStatus[error.status] ?? 500,
    grpcStatus: error.status,
    set: [
      { name: 'grpc-status', value: String(error.status) },
      { name: 'grpc-message', value: statusMessage(error.message) },
      {
        name: 'grpc-status-details-bin',
        value: Buffer.from(statusDetails(error)).toString('base64').replace(/=+$/, ''),
      },
    ],
    metadata,
  };
}

/** For Envoy's own log; the client sees the gRPC status that the headers set. */
const httpStatus: Partial<Record<GrpcStatus, number>> = {
  [GrpcStatus.INVALID_ARGUMENT]: 400,
  [GrpcStatus.UNAUTHENTICATED]: 401,
  [GrpcStatus.PERMISSION_DENIED]: 403,
  [GrpcStatus.NOT_FOUND]: 404,
  [GrpcStatus.RESOURCE_EXHAUSTED]: 429,
  [GrpcStatus.UNIMPLEMENTED]: 501,
  [GrpcStatus.UNAVAILABLE]: 503,
};

/** Printable ASCII but space and `%`, all else percent-encoded: no value can end its header or begin another. */
function headerValue(value: string): string {
  return value.replaceAll(/[^\x21-\x24\x26-\x7e]+/g, percentEncoded);
}

/** gRPC over HTTP/2, Status-Message. */
function statusMessage(message: string): string {
  return message.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, percentEncoded);
}

function percentEncoded(text: string): string {
  return Buffer.from(text).toString('hex').toUpperCase().replaceAll(/../g, '%$&');
}
