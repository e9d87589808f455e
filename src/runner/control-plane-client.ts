/** BatchService of the control planes, as the Runner uses it: any of them answers, as followers pass on to the leader. */
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import { type ChannelCredentials, Metadata } from '@grpc/grpc-js';
import { ServerSet } from '../lib/grpc/server-set.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { TRACE_HEADER } from '../model/names.js';

export interface ControlPlaneOptions {
  readonly addresses: readonly string[];
  readonly credentials: ChannelCredentials;
  readonly serverName: string | undefined;
  readonly clock: Clock;
  /** In [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** What is known of the call that asks. */
export interface Asking {
  readonly signal: AbortSignal;
  /** Milliseconds that are left for it. */
  readonly leftMs: () => number;
  readonly traceparent: string | undefined;
}

/** A change of leader, or a restart, is waited for so long. */
const PATIENCE_MS = 15_000;
/** Kept back for the answer's way. */
const ANSWER_MARGIN_MS = 500;
/** The log's last lines. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const RETRY_MS = 2_000;

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

export class ControlPlane {
  readonly #servers: ServerSet;

  constructor(options: ControlPlaneOptions) {
    this.#servers = new ServerSet({
      ...options,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      passes: ({ code }) => code === 'CONTROL_PLANE_UNAVAILABLE' || code === 'SHUTTING_DOWN',
      unavailable: (why, cause) =>
        new GatewayError(
          'CONTROL_PLANE_UNAVAILABLE',
          `The Runner gets no answer of the gateway's control plane (${why}); try again shortly.`,
          { cause, retryAfterMs: RETRY_MS },
        ),
    });
  }

  isConnected(): boolean {
    return this.#servers.isConnected();
  }

  /** Every request is safe to be asked again. Rejects with a GatewayError, or with the signal's reason. */
  ask<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageShape<I>,
    { signal, leftMs, traceparent }: Asking,
  ): Promise<MessageShape<O>> {
    return this.#servers.call(method, message, {
      signal,
      timeoutMs: Math.max(0, Math.min(PATIENCE_MS, leftMs() - ANSWER_MARGIN_MS)),
      metadata: () => tracing(traceparent),
    });
  }

  stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageShape<I>,
    { signal, traceparent }: Asking,
  ): AsyncGenerator<MessageShape<O>, void> {
    return this.#servers.stream(method, message, {
      signal,
      metadata: () => tracing(traceparent),
    });
  }

  close(): void {
    this.#servers.close();
  }
}

function tracing(traceparent: string | undefined): Metadata {
  const metadata = new Metadata();
  if (traceparent !== undefined) metadata.set(TRACE_HEADER, traceparent);
  return metadata;
}
