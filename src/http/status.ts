/** The HTTP status of each refusal and failure. */
import { type ErrorCode, type GatewayError, GrpcStatus } from '../model/errors.js';

/** Where HTTP is more exact than gRPC. */
const byCode: Partial<Record<ErrorCode, number>> = {
  HTTP_METHOD_REFUSED: 405,
  HTTP_BODY_TOO_LARGE: 413,
};

/** As https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto maps them. */
const byStatus: Record<GrpcStatus, number> = {
  [GrpcStatus.OK]: 200,
  [GrpcStatus.CANCELLED]: 499,
  [GrpcStatus.UNKNOWN]: 500,
  [GrpcStatus.INVALID_ARGUMENT]: 400,
  [GrpcStatus.DEADLINE_EXCEEDED]: 504,
  [GrpcStatus.NOT_FOUND]: 404,
  [GrpcStatus.ALREADY_EXISTS]: 409,
  [GrpcStatus.PERMISSION_DENIED]: 403,
  [GrpcStatus.RESOURCE_EXHAUSTED]: 429,
  [GrpcStatus.FAILED_PRECONDITION]: 400,
  [GrpcStatus.ABORTED]: 409,
  [GrpcStatus.OUT_OF_RANGE]: 400,
  [GrpcStatus.UNIMPLEMENTED]: 501,
  [GrpcStatus.INTERNAL]: 500,
  [GrpcStatus.UNAVAILABLE]: 503,
  [GrpcStatus.DATA_LOSS]: 500,
  [GrpcStatus.UNAUTHENTICATED]: 401,
};

export function httpStatus({ code, status }: GatewayError): number {
  return byCode[code] ?? byStatus[status];
}
