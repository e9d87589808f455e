/** The RPC that Envoy calls: bytes in, a decision, bytes out. */
import { GrpcStatus } from '../model/errors.js';
import {
  type AllowedResponse,
  decodeCheckRequest,
  encodeAllowed,
  encodeDenied,
} from './check-codec.js';
import type { CheckService, Decision } from './check-service.js';
import { andThen } from './eventually.js';
import { CallError, frame } from './grpc-wire.js';
import type { UnaryHandler } from './transport.js';
import { MalformedMessage } from './wire.js';

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** Answers calls of `CHECK_PATH`. */
export function checkHandler(service: Pick<CheckService, 'check'>): UnaryHandler {
  return (message, call) => {
    let request;
    try {
      request = decodeCheckRequest(message);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      throw new CallError(GrpcStatus.INVALID_ARGUMENT, 'This is no CheckRequest.');
    }
    return andThen(service.check(request, call), encodeDecision);
  };
}

/** Those that allow stay the same value for as long as nothing changes. */
const encodedResponses = new WeakMap<AllowedResponse, Buffer>();

/** A CheckResponse, framed. It is shared: not to be changed. */
export function encodeDecision({ allowed, response }: Decision): Buffer {
  if (!allowed) return frame(encodeDenied(response));
  let encoded = encodedResponses.get(response);
  if (!encoded) {
    encoded = ownBytes(frame(encodeAllowed(response)));
    encodedResponses.set(response, encoded);
  }
  return encoded;
}

/** What is kept for long must be no slice of Node's pool: it would keep all 8 KiB of it. */
function ownBytes(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
