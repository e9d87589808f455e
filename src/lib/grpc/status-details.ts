/** GatewayError ↔ gRPC status with google.rpc details (https://google.aip.dev/193). */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, anyUnpack, DurationSchema } from '@bufbuild/protobuf/wkt';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '#gen/google/rpc/status_pb.js';
import { cut } from '../../model/telling-line.js';
import { GatewayError, GrpcStatus, isErrorCode, toGatewayError } from '../../model/errors.js';

const LONGEST_MESSAGE = 1_000;
const LONGEST_ENCODED = 1_500;
const ERROR_DOMAIN = 'spark-connect-gateway';

/**
 * Spark's error classes that its clients act on. SESSION_CHANGED makes a 4.x client take its session
 * for closed for good; SESSION_NOT_FOUND makes it send an ExecutePlan again.
 */
const sparkErrorClass: Partial<Record<string, string>> = {
  SESSION_ENDED: 'INVALID_HANDLE.SESSION_CHANGED',
  SESSION_UNKNOWN: 'INVALID_HANDLE.SESSION_NOT_FOUND',
  OPERATION_CANCELED: 'OPERATION_CANCELED',
};

/** The bytes of `grpc-status-details-bin`: a google.rpc.Status with ErrorInfo, to come back, RetryInfo, and what else is to be told. */
export function statusDetails(error: GatewayError, more: readonly Any[] = []): Uint8Array {
  const errorClass = sparkErrorClass[error.code];
  const details = [
    anyPack(
      ErrorInfoSchema,
      create(ErrorInfoSchema, {
        reason: error.code,
        domain: ERROR_DOMAIN,
        metadata: errorClass ? { errorClass } : {},
      }),
    ),
  ];
  if (error.retryAfterMs !== undefined) {
    details.push(
      anyPack(
        RetryInfoSchema,
        create(RetryInfoSchema, { retryDelay: durationFromMs(error.retryAfterMs) }),
      ),
    );
  }
  return toBinary(
    StatusSchema,
    create(StatusSchema, {
      code: error.status,
      message: error.message,
      details: [...details, ...more],
    }),
  );
}

/**
 * The error with a message that fits into a client's headers twice, as text and in the details: PySpark
 * takes 8 KiB of headers, and a refusal that it cannot read is one that it does not wait for.
 */
export function fitForHeaders(error: GatewayError): GatewayError {
  const { code, message, retryAfterMs, cause } = error;
  let fits = cut(message, LONGEST_MESSAGE);
  while (encodedLength(fits) > LONGEST_ENCODED) fits = cut(message, Math.floor(fits.length * 0.8));
  if (fits === message) return error;
  return new GatewayError(code, fits, {
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** Percent-encoded, which is what makes most of texts that are not ASCII. */
function encodedLength(text: string): number {
  return (
    Buffer.byteLength(text.replaceAll(/[^\x20-\x24\x26-\x7e]/gu, '')) +
    3 * Buffer.byteLength(text.replaceAll(/[\x20-\x24\x26-\x7e]/gu, ''))
  );
}

/** What a grpc-js handler rejects with. `more`: further details of the status, a few thousand bytes at most. */
export function toServiceError(
  thrown: unknown,
  more: readonly Any[] = [],
): Partial<ServiceError> & { code: number } {
  const error = fitForHeaders(toGatewayError(thrown));
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(statusDetails(error, more)));
  return { code: error.status, details: error.message, metadata };
}

/** The GatewayError that the other side sent; a transport failure becomes CONTROL_PLANE_UNAVAILABLE. */
export function fromServiceError(error: ServiceError): GatewayError {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const status = bytes instanceof Buffer ? parseStatus(bytes) : undefined;
  if (status) {
    const { message, reason, retryAfterMs } = status;
    if (reason !== undefined && isErrorCode(reason)) {
      return new GatewayError(reason, message, {
        cause: error,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    }
  }
  if (error.code === GrpcStatus.INTERNAL) return toGatewayError(error);
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'The gateway cannot reach its control plane; new sessions wait until it is back.',
    { cause: error, retryAfterMs: 2000 },
  );
}

interface Parsed {
  readonly message: string;
  readonly reason: string | undefined;
  readonly retryAfterMs: number | undefined;
}

/** undefined for bytes that are no google.rpc.Status: whatever stands between may have put them there. */
function parseStatus(bytes: Buffer): Parsed | undefined {
  try {
    const { message, details } = fromBinary(StatusSchema, bytes);
    let reason: string | undefined;
    let retryAfterMs: number | undefined;
    for (const detail of details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain === ERROR_DOMAIN) reason = info.reason;
      const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (delay) retryAfterMs = Number(delay.seconds) * 1000 + delay.nanos / 1e6;
    }
    return { message, reason, retryAfterMs };
  } catch {
    return undefined;
  }
}

/** Whole milliseconds: `ms` may be an estimate with a fraction. */
function durationFromMs(ms: number) {
  const whole = Math.ceil(ms);
  return create(DurationSchema, {
    seconds: BigInt(Math.floor(whole / 1000)),
    nanos: (whole % 1000) * 1_000_000,
  });
}
