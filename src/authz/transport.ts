/** Unary gRPC, as the check service needs it, whatever carries it. */
import type { SocketAddress } from '../model/address.js';
import type { Eventually } from './eventually.js';

/** One call, as far as its handler needs to know. */
export interface UnaryCall {
  /** The caller's `traceparent` header. */
  readonly traceparent: string | undefined;
  /**
   * Fires when the caller has gone, its deadline is over, or the server closes; in the last case its
   * reason is a GatewayError, to be answered with. Only for those who wait: it is made when it is
   * first asked for, and costs as much as a whole check.
   */
  readonly signal: AbortSignal;
  /** Why the signal has fired, or would have. */
  readonly abortReason: Error | undefined;
}

/** Answers one message with one that is framed (grpc-wire.ts), at once where it can. */
export type UnaryHandler = (message: Buffer, call: UnaryCall) => Eventually<Uint8Array>;

export interface Transport {
  /** Resolves with the gRPC target that reaches it. */
  listen(address: SocketAddress): Promise<string>;
  /**
   * Takes no more calls and lets those under way finish; those that have not after `limitMs` are
   * aborted and answered. Resolves when every connection is closed.
   */
  drain(limitMs: number): Promise<void>;
}
