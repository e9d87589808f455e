/** What Envoy is error: the headers that an allowed request leaves with, or the answer to a refused one. */
import { statusDetails } from '../grpc/status-details.js';
import type { Assignment } from '../model/assignment.js';
import { GrpcStatus, type GatewayError } from '../model/errors.js';
import {
  AFFINITY_HEADER,
  CLUSTER_HEADER,
  INTERNAL_HEADER_PREFIX,
  ISSUER_HEADER,
  PIN_HEADER,
  PRINCIPAL_HEADER,
  ringHashKey,
  SESSION_HEADER,
} from '../model/names.js';
import type { AllowedResponse, DeniedResponse, HeaderMutation } from './check-codec.js';

/** By the keys of `AccessMetadata`. */
export type Metadata = Readonly<Record<string, string | undefined>>;

export function allowedResponse(
  assignment: Assignment,
  clientHeaders: ReadonlyMap<string, string>,
  metadata: Metadata,
): AllowedResponse {
  const set: HeaderMutation[] = [
    { name: CLUSTER_HEADER, value: assignment.cluster },
    { name: AFFINITY_HEADER, value: ringHashKey(assignment.driverUid) },
    { name: PIN_HEADER, value: Buffer.from(assignment.address).toString('base64') },
    { name: PRINCIPAL_HEADER, value: headerValue(assignment.principal.subject) },
    { name: ISSUER_HEADER, value: headerValue(assignment.principal.issuer) },
    { name: SESSION_HEADER, value: assignment.sessionId },
  ];
  const remove: string[] = [];
  // The user's token stays here: whoever runs code in a driver could read it.
  if (assignment.driverToken !== undefined) {
    set.push({ name: 'authorization', value: `Bearer ${assignment.driverToken}` });
  } else if (clientHeaders.has('authorization')) {
    remove.push('authorization');
  }
  for (const name of clientHeaders.keys()) {
    if (name === 'authentication') remove.push(name);
    else if (name.startsWith(INTERNAL_HEADER_PREFIX) && !set.some((header) => header.name === name))
      remove.push(name);
  }
  return { set, remove, metadata };
}

export function deniedResponse(error: GatewayError, metadata: Metadata): DeniedResponse {
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
