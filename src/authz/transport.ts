/** Unary gRPC, as the check service needs it, whatever carries it. */
import type { SocketAddress } from '../model/address.js';

/**
 * Answers one message with one message. The signal fires when the caller has gone, its deadline is
 * over, or the server closes; in the last case its reason is a GatewayError, to be answered with.
 */
export type UnaryHandler = (
  message: Buffer,
  signal: AbortSignal,
  /** The caller's `traceparent` header. */
  traceparent?: string,
) => Promise<Uint8Array>;

export interface Transport {
  /** Resolves with the gRPC target that reaches it. */
  listen(address: SocketAddress): Promise<string>;
  /**
   * Takes no more calls and lets those under way finish; those that have not after `limitMs` are
   * aborted and answered. Resolves when every connection is closed.
   */
  drain(limitMs: number): Promise<void>;
}
