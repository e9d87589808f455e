/** GatewayError ↔ gRPC status with google.rpc details (https://google.aip.dev/193). */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack, DurationSchema } from '@bufbuild/protobuf/wkt';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '#gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '#gen/google/rpc/status_pb.js';
import { cut } from '../../model/telling-line.js';
import {
  type ErrorCode,
  GatewayError,
  GrpcStatus,
  isErrorCode,
  type PlacedProblem,
  toGatewayError,
} from '../../model/errors.js';

const LONGEST_MESSAGE = 1_000;
const LONGEST_ENCODED = 1_500;
/** Of a message's problems: what does not fit is left out, and the message says how many there are. */
const LONGEST_PROBLEMS = 2_500;
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

/** The bytes of `grpc-status-details-bin`: a google.rpc.Status with ErrorInfo and, to come back, RetryInfo. */
export function statusDetails(error: GatewayError): Uint8Array {
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
  if (error.problems.length > 0) {
    const fieldViolations = fitting(error.problems).map(toViolation);
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  return toBinary(
    StatusSchema,
    create(StatusSchema, { code: error.status, message: error.message, details }),
  );
}

/** As many of the first ones as fit into a client's headers. */
function fitting(problems: readonly PlacedProblem[]): readonly PlacedProblem[] {
  let length = 0;
  const end = problems.findIndex(({ path, message }) => {
    length += Buffer.byteLength(path) + Buffer.byteLength(message) + 30;
    return length > LONGEST_PROBLEMS;
  });
  const [first] = problems;
  if (end === 0 && first) return [{ ...first, message: cut(first.message, LONGEST_MESSAGE) }];
  return end === -1 ? problems : problems.slice(0, end);
}

/** The place stands before the description: BadRequest has no field for it. */
function toViolation({ line, column = 1, path, message }: PlacedProblem) {
  const place = line === undefined ? '' : `line ${line}, column ${column}: `;
  return { field: path, description: `${place}${message}` };
}

function fromViolation({ field, description }: { field: string; description: string }) {
  const [place, line, column] = /^line (\d+), column (\d+): /.exec(description) ?? [];
  return place === undefined
    ? { path: field, message: description }
    : {
        line: Number(line),
        column: Number(column),
        path: field,
        message: description.slice(place.length),
      };
}

/**
 * The error with a message that fits into a client's headers twice, as text and in the details: PySpark
 * takes 8 KiB of headers, and a refusal that it cannot read is one that it does not wait for.
 */
export function fitForHeaders(error: GatewayError): GatewayError {
  const { code, message, retryAfterMs, cause, problems } = error;
  let fits = cut(message, LONGEST_MESSAGE);
  while (encodedLength(fits) > LONGEST_ENCODED) fits = cut(message, Math.floor(fits.length * 0.8));
  if (fits === message) return error;
  return new GatewayError(code, fits, {
    cause,
    problems,
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

/** What a grpc-js handler rejects with. */
export function toServiceError(thrown: unknown): Partial<ServiceError> & { code: number } {
  const error = fitForHeaders(toGatewayError(thrown));
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(statusDetails(error)));
  return { code: error.status, details: error.message, metadata };
}

/** The GatewayError that the other side sent; a transport failure becomes CONTROL_PLANE_UNAVAILABLE. */
export function fromServiceError(error: ServiceError): GatewayError {
  return sentError(error) ?? withoutReason(error.code, error);
}

/** The GatewayError of an answer's own bytes, which `statusDetails` has made on the other side. */
export function fromStatusDetails(bytes: Uint8Array): GatewayError {
  const status = parseStatus(bytes);
  if (!status) return toGatewayError(new Error('An answer cannot be read.'));
  const cause = new Error(status.message);
  return errorOf(status, cause) ?? withoutReason(status.code, cause);
}

/** Of what says no code of ours. */
function withoutReason(code: number, cause: Error): GatewayError {
  return code === GrpcStatus.INTERNAL ? toGatewayError(cause) : unreachable(cause);
}

/** What a client is told while no control plane answers. */
export function unreachable(cause?: unknown): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'The gateway cannot reach its control plane; new sessions wait until it is back.',
    { cause, retryAfterMs: 2000 },
  );
}

/** What the other side itself says of its refusal; undefined: it has not got so far, or is none of ours. */
export function sentError(error: ServiceError): GatewayError | undefined {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const status = bytes instanceof Buffer ? parseStatus(bytes) : undefined;
  return status && errorOf(status, error);
}

function errorOf(
  { message, reason, problems, retryAfterMs }: Parsed,
  cause: Error,
): GatewayError | undefined {
  if (reason === undefined) return undefined;
  return new GatewayError(reason, message, {
    cause,
    problems,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

interface Parsed {
  /** Of gRPC. */
  readonly code: number;
  readonly message: string;
  /** undefined: a code of somebody else, or of a newer release. */
  readonly reason: ErrorCode | undefined;
  readonly retryAfterMs: number | undefined;
  readonly problems: readonly PlacedProblem[];
}

/** undefined for bytes that are no google.rpc.Status: whatever stands between may have put them there. */
function parseStatus(bytes: Uint8Array): Parsed | undefined {
  try {
    const { code, message, details } = fromBinary(StatusSchema, bytes);
    let reason: ErrorCode | undefined;
    let problems: readonly PlacedProblem[] = [];
    let retryAfterMs: number | undefined;
    for (const detail of details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain === ERROR_DOMAIN && isErrorCode(info.reason)) reason = info.reason;
      const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (delay) retryAfterMs = Number(delay.seconds) * 1000 + delay.nanos / 1e6;
      const violations = anyUnpack(detail, BadRequestSchema)?.fieldViolations;
      if (violations) problems = violations.map(fromViolation);
    }
    return { code, message, reason, retryAfterMs, problems };
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
