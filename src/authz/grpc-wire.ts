/** gRPC over HTTP/2 as far as unary calls need it (grpc/doc/PROTOCOL-HTTP2.md). */
import { MESSAGE_HEADER_BYTES } from '../lib/grpc/http2-calls.js';
import { GrpcStatus } from '../model/errors.js';

/** What a call fails with below the level of decisions. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly status: GrpcStatus;

  constructor(status: GrpcStatus, message: string) {
    super(message);
    this.status = status;
  }
}

/** The one message of a unary call. Throws CallError. */
export function unframe(body: Buffer): Buffer {
  if (body.length < MESSAGE_HEADER_BYTES) {
    throw new CallError(GrpcStatus.INTERNAL, 'The call holds no message.');
  }
  if (body[0] !== 0) {
    throw new CallError(GrpcStatus.UNIMPLEMENTED, 'Compressed messages are not read here.');
  }
  if (body.readUInt32BE(1) !== body.length - MESSAGE_HEADER_BYTES) {
    throw new CallError(GrpcStatus.INTERNAL, 'The call does not hold exactly one message.');
  }
  return body.subarray(MESSAGE_HEADER_BYTES);
}

const millisecondsPerUnit: Partial<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** The value of `grpc-timeout` in milliseconds; undefined without one. Throws CallError. */
export function timeoutMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const [, amount, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? [];
  const factor = millisecondsPerUnit[unit];
  if (amount === undefined || factor === undefined) {
    throw new CallError(GrpcStatus.INTERNAL, 'The header grpc-timeout is not a timeout.');
  }
  return Number(amount) * factor;
}

/**
 * Values that are there at once, or come later. Nearly every check needs only what is remembered, and
 * is answered without a turn of the microtask queue, a timer or a signal.
 */
export type Eventually<T> = T | Promise<T>;

/** What `next` makes of the value, as soon as that is there. */
export function andThen<T, U>(
  value: Eventually<T>,
  next: (value: T) => Eventually<U>,
): Eventually<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
