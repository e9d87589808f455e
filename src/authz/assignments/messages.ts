/** Assignments as messages of spark_gateway.v1. */
import { create } from '@bufbuild/protobuf';
import {
  AssignRequestSchema,
  type AssignRequest as AssignRequestMessage,
  type AssignResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import type { AssignRequest, Assignment } from '../../model/assignment.js';
import { GatewayError } from '../../model/errors.js';

export function toMessage(request: AssignRequest, holdMs: number): AssignRequestMessage {
  const { sessionId, principal, userId, team, environment, namespace, mayCreate, method } = request;
  return create(AssignRequestSchema, {
    sessionId,
    principal: { issuer: principal.issuer, subject: principal.subject },
    userId,
    team,
    environment,
    namespace,
    mayCreate,
    holdMs,
    cloneOf: request.cloneOf ?? '',
    method,
  });
}

/** Throws INTERNAL for an answer without an assignment. */
export function fromMessage({ assignment }: AssignResponse): Assignment {
  if (!assignment?.principal) {
    throw new GatewayError('INTERNAL', 'The control plane answered without an assignment.');
  }
  const { sessionId, principal, driverUid, cluster, address, driverToken } = assignment;
  return {
    sessionId,
    principal: { issuer: principal.issuer, subject: principal.subject },
    driverUid,
    cluster,
    address,
    driverToken: driverToken === '' ? undefined : driverToken,
    team: assignment.team,
    environment: assignment.environment,
    namespace: assignment.namespace,
    cacheTtlMs: assignment.cacheTtlMs,
  };
}
