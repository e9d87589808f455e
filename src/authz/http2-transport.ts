/**
 * Unary gRPC on an HTTP/2 server of its own (src/lib/http2), with the health service. Envoy waits for this on
 * every request. What authz has answered itself comes back here with its answer, whatever was asked.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import {
  CONTENT_TYPE,
  frame,
  MESSAGE_HEADER_BYTES,
  refuseOthers,
  RESPONSE_HEADERS,
  STATUS_OK,
} from '../lib/grpc/http2-calls.js';
import { ErrorCode } from '../lib/http2/frame.js';
import { headerBlock } from '../lib/http2/header-block.js';
import type { ServerConnection } from '../lib/http2/server-connection.js';
import type { ServerStream } from '../lib/http2/server-stream.js';
import { serveHttp2 } from '../lib/http2/socket.js';
import type { SocketAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, GrpcStatus } from '../model/errors.js';
import { ANSWER_HEADER } from '../model/names.js';
import { CallError, timeoutMs, unframe, type Eventually } from './grpc-wire.js';
import { Health, HEALTH_CHECK_PATH } from './health.js';
import { listen } from './listen.js';

export interface Http2TransportOptions {
  /** By gRPC path. */
  readonly handlers: ReadonlyMap<string, UnaryHandler>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The largest message that is taken, bytes. */
  readonly maxMessageBytes: number;
}

/** Each worker of an Envoy has one, and another for each 2,000 checks that it holds. */
const MAX_CONNECTIONS = 256;
/** For calls that are aborted at the end of a drain to be answered. */
const LAST_ANSWERS_MS = 500;

export class Http2Transport implements Transport {
  readonly #options: Http2TransportOptions;
  readonly #server: Server;
  readonly #health: Health;
  readonly #connections = new Map<Socket, ServerConnection>();
  /** Those that wait for something. */
  readonly #waiting = new Set<Call>();
  #drained: () => void = () => undefined;

  constructor(options: Http2TransportOptions) {
    this.#options = options;
    this.#health = new Health([...options.handlers.keys()].map((path) => path.split('/')[1] ?? ''));
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  async listen(address: SocketAddress): Promise<string> {
    return listen(this.#server, address);
  }

  async drain(limitMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#health.stopServing();
    const closed = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#server.close();
    for (const connection of this.#connections.values()) connection.shutDown();
    this.#checkDrained();
    const limit = clock.setTimer(limitMs, () => {
      const reason = new GatewayError('SHUTTING_DOWN', 'The gateway restarts; try again.', {
        retryAfterMs: 1000,
      });
      for (const call of this.#waiting) call.abort(reason);
    });
    const last = clock.setTimer(limitMs + LAST_ANSWERS_MS, () => {
      for (const socket of this.#connections.keys()) socket.destroy();
    });
    await closed;
    limit.cancel();
    last.cancel();
  }

  #accept(socket: Socket): void {
    const { maxMessageBytes, clock, logger } = this.#options;
    const connection: ServerConnection = serveHttp2(socket, {
      maxBodyBytes: maxMessageBytes + MESSAGE_HEADER_BYTES,
      timers: clock,
      onError: (error) => logger.debug({ err: error }, 'a connection to authz failed'),
      onRequest: (stream) => this.#called(connection, stream),
      onTooLarge(stream) {
        const message = 'The message is too large.';
        fail(connection, stream, new CallError(GrpcStatus.RESOURCE_EXHAUSTED, message));
      },
    });
    this.#connections.set(socket, connection);
    socket.on('close', () => {
      this.#connections.delete(socket);
      this.#checkDrained();
    });
  }

  #checkDrained(): void {
    if (this.#connections.size === 0) this.#drained();
  }

  #called(connection: ServerConnection, stream: ServerStream): void {
    if (refuseOthers(connection, stream)) return;
    const { path = '', grpcTimeout, traceparent } = stream.head;
    const given = stream.head.extensions.get(ANSWER_HEADER);
    if (given !== undefined) {
      respond(connection, stream, Buffer.from(given, 'base64'));
      return;
    }
    const handler =
      path === HEALTH_CHECK_PATH ? this.#healthCheck : this.#options.handlers.get(path);
    if (!handler) {
      const message = `There is no ${path.slice(0, 100)} here.`;
      fail(connection, stream, new CallError(GrpcStatus.UNIMPLEMENTED, message));
      return;
    }
    const call = new Call(traceparent);
    try {
      const deadlineMs = timeoutMs(grpcTimeout);
      const message = unframe(stream.body());
      const answer = handler(message, call);
      if (answer instanceof Promise) this.#wait(connection, stream, call, answer, deadlineMs);
      else respond(connection, stream, answer);
    } catch (error) {
      this.#failed(connection, stream, error);
    }
  }

  /** Responds when the answer is there, unless the call has ended before. */
  #wait(
    connection: ServerConnection,
    stream: ServerStream,
    call: Call,
    answer: Promise<Uint8Array>,
    deadlineMs: number | undefined,
  ): void {
    const deadline =
      deadlineMs === undefined
        ? undefined
        : this.#options.clock.setTimer(deadlineMs, () => {
            call.abort(new CallError(GrpcStatus.DEADLINE_EXCEEDED, 'The deadline is over.'));
          });
    const answered = () => {
      this.#waiting.delete(call);
      deadline?.cancel();
      stream.onClose = () => undefined;
    };
    this.#waiting.add(call);
    stream.onClose = () => {
      answered();
      call.abort(new CallError(GrpcStatus.CANCELLED, 'Cancelled.'));
    };
    answer
      .finally(answered)
      .then(
        (response) => respond(connection, stream, response),
        (error: unknown) => {
          const { abortReason } = call;
          this.#failed(connection, stream, abortReason instanceof CallError ? abortReason : error);
        },
      )
      .catch((error: unknown) => {
        this.#options.logger.error({ err: error }, 'a call could not be answered');
      });
  }

  #failed(connection: ServerConnection, stream: ServerStream, failure: unknown): void {
    if (stream.closed) return;
    if (!(failure instanceof CallError)) {
      this.#options.logger.error({ err: failure }, 'a call failed');
    }
    fail(connection, stream, failure);
  }

  readonly #healthCheck: UnaryHandler = (message) => frame(this.#health.check(message));
}

function respond(connection: ServerConnection, stream: ServerStream, response: Uint8Array): void {
  connection.respond(stream, RESPONSE_HEADERS, false);
  connection.send(stream, response);
  connection.finish(stream, STATUS_OK);
}

/** Ends a call with a status and no message, or, where an answer has begun, with a reset. */
function fail(connection: ServerConnection, stream: ServerStream, error: unknown): void {
  if (stream.responded) {
    connection.reset(stream, ErrorCode.CANCEL);
    return;
  }
  const known = error instanceof CallError;
  const block = headerBlock(200, {
    'content-type': CONTENT_TYPE,
    'grpc-status': String(known ? error.status : GrpcStatus.INTERNAL),
    'grpc-message': encodeURI(known ? error.message : 'The call failed; see the log of authz.'),
  });
  connection.respond(stream, block, true);
}

// One call from its request to its end.

export class Call implements UnaryCall {
  readonly traceparent: string | undefined;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;

  constructor(traceparent: string | undefined) {
    this.traceparent = traceparent;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#abortReason) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get abortReason(): Error | undefined {
    return this.#abortReason;
  }

  abort(reason: Error): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(reason);
  }
}

// Unary gRPC, as the check service needs it, whatever carries it.

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
  /** Fires the signal. The first reason counts. */
  abort(reason: Error): void;
}

/** Answers one message with one that is framed (grpc-wire.ts), at once where it can. */
export type UnaryHandler = (message: Buffer, call: UnaryCall) => Eventually<Uint8Array>;

interface Transport {
  /** Resolves with the gRPC target that reaches it. */
  listen(address: SocketAddress): Promise<string>;
  /**
   * Takes no more calls and lets those under way finish; those that have not after `limitMs` are
   * aborted and answered. Resolves when every connection is closed.
   */
  drain(limitMs: number): Promise<void>;
}
