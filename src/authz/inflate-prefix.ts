/** Inflates the first bytes of a compressed gRPC message. */
import { constants, gunzipSync, inflateSync } from 'node:zlib';
import { GatewayError, hasCode } from '../model/errors.js';

/** Deflate grows data up to 1,032 times, so what is inflated is bounded whatever is sent. */
const MAX_INPUT_BYTES = 16 * 1024;
const MAX_OUTPUT_BYTES = 64 * 1024;

const algorithms = new Map([
  ['gzip', gunzipSync],
  ['deflate', inflateSync],
]);

export interface InflatedPrefix {
  readonly bytes: Buffer;
  /** Whether `bytes` is everything that the input holds. */
  readonly whole: boolean;
}

/**
 * Inflates as much of `compressed`, the beginning of a compressed message, as fits the bounds.
 * `encoding` is the request's `grpc-encoding`. Throws REQUEST_UNREADABLE for an encoding that is
 * not supported or data that is not of that encoding.
 */
export function inflatePrefix(compressed: Buffer, encoding: string | undefined): InflatedPrefix {
  const inflate = algorithms.get(encoding ?? '');
  if (!inflate) {
    throw new GatewayError(
      'REQUEST_UNREADABLE',
      `The request is compressed with ${encoding === undefined ? 'no encoding named in grpc-encoding' : `"${encoding.slice(0, 32)}"`}; ` +
        'the gateway reads gzip and deflate. Use one of them, or no compression.',
    );
  }
  // A sync flush gives what a cut input holds instead of an error.
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_OUTPUT_BYTES };
  let input = compressed.subarray(0, MAX_INPUT_BYTES);
  for (;;) {
    try {
      return { bytes: inflate(input, options), whole: input.length === compressed.length };
    } catch (error) {
      if (!hasCode(error, 'ERR_BUFFER_TOO_LARGE') || input.length < 2) {
        throw new GatewayError(
          'REQUEST_UNREADABLE',
          `The request says that it is compressed with ${encoding}, but its data is not.`,
          { cause: error },
        );
      }
      input = input.subarray(0, input.length >> 1);
    }
  }
}
