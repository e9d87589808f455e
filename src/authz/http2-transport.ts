/**
 * Unary gRPC straight on node:http2, with the health service. grpc-js does the same at half the rate
 * (bench/authz), and Envoy waits for this on every request.
 */
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Logger } from 'pino';
import type { SocketAddress } from '../model/address.js';
import type { Clock, Timer } from '../model/clock.js';
import { GatewayError, GrpcStatus } from '../model/errors.js';
import { CallError, frame, timeoutMs, unframe } from './grpc-wire.js';
import { Health, HEALTH_CHECK_PATH, HEALTH_WATCH_PATH } from './health.js';
import { listen } from './listen.js';
import type { Transport, UnaryHandler } from './transport.js';

export interface Http2TransportOptions {
  /** By gRPC path. */
  readonly handlers: ReadonlyMap<string, UnaryHandler>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The largest message that is taken, bytes. */
  readonly maxMessageBytes: number;
}

/** One call from its headers to its end. */
interface Call {
  readonly stream: ServerHttp2Stream;
  readonly controller: AbortController;
  deadline: Timer | undefined;
  answered: boolean;
}

const CONTENT_TYPE = 'application/grpc';
/** Data in flight before this side has read it: checks come in bursts and each is small. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** For calls that are aborted at the end of a drain to be answered. */
const LAST_ANSWERS_MS = 500;

export class Http2Transport implements Transport {
  readonly #options: Http2TransportOptions;
  readonly #server: Http2Server;
  readonly #health: Health;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new Set<Call>();
  #drained: () => void = () => undefined;

  constructor(options: Http2TransportOptions) {
    this.#options = options;
    this.#health = new Health([...options.handlers.keys()].map((path) => path.split('/')[1] ?? ''));
    this.#server = createServer({
      // Held checks cost memory for as long as they are held; Envoy's circuit breakers bound them.
      maxSessionMemory: 1024,
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    });
    this.#server.on('session', (session) => this.#opened(session));
    this.#server.on('stream', (stream, headers) => this.#called(stream, headers));
    this.#server.on('sessionError', (error) => {
      options.logger.debug({ err: error }, 'connection to authz failed');
    });
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
    // Says GOAWAY and closes once its streams have ended.
    for (const session of this.#sessions) session.close();
    this.#checkDrained();
    const limit = clock.setTimer(limitMs, () => {
      const reason = new GatewayError('SHUTTING_DOWN', 'The gateway restarts; try again.', {
        retryAfterMs: 1000,
      });
      for (const { controller } of this.#calls) controller.abort(reason);
    });
    const last = clock.setTimer(limitMs + LAST_ANSWERS_MS, () => {
      for (const session of this.#sessions) session.destroy();
    });
    await closed;
    limit.cancel();
    last.cancel();
  }

  #opened(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.setLocalWindowSize(WINDOW_BYTES);
    // Told by the server's 'sessionError' already.
    session.on('error', () => undefined);
    session.on('close', () => {
      this.#sessions.delete(session);
      this.#checkDrained();
    });
  }

  #checkDrained(): void {
    if (this.#sessions.size === 0) this.#drained();
  }

  #called(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => undefined);
    if (headers['content-type']?.startsWith(CONTENT_TYPE) !== true) {
      stream.respond({ ':status': 415 }, { endStream: true });
      stream.close();
      return;
    }
    const path = headers[':path'] ?? '';
    const handler =
      path === HEALTH_CHECK_PATH ? this.#healthCheck : this.#options.handlers.get(path);
    if (!handler && path !== HEALTH_WATCH_PATH) {
      fail(
        stream,
        new CallError(GrpcStatus.UNIMPLEMENTED, `There is no ${path.slice(0, 100)} here.`),
      );
      return;
    }
    const controller = new AbortController();
    const call: Call = { stream, controller, deadline: undefined, answered: false };
    this.#calls.add(call);
    stream.on('close', () => {
      this.#calls.delete(call);
      call.deadline?.cancel();
      // Costs more than all the rest of a check, so only when someone is to be told.
      if (!call.answered) controller.abort(new CallError(GrpcStatus.CANCELLED, 'Cancelled.'));
    });
    this.#receive(call, headers, handler ?? ((message) => this.#watch(call, message)));
  }

  /** Reads the one message of a call and has it answered. */
  #receive(call: Call, headers: IncomingHttpHeaders, handler: UnaryHandler): void {
    const { stream, controller } = call;
    const { clock, maxMessageBytes } = this.#options;
    try {
      const timeout = timeoutMs(headers['grpc-timeout']?.toString());
      if (timeout !== undefined) {
        call.deadline = clock.setTimer(timeout, () => {
          controller.abort(new CallError(GrpcStatus.DEADLINE_EXCEEDED, 'The deadline is over.'));
        });
      }
    } catch (error) {
      fail(stream, error);
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxMessageBytes) chunks.push(chunk);
      else if (!stream.headersSent) {
        fail(stream, new CallError(GrpcStatus.RESOURCE_EXHAUSTED, 'The message is too large.'));
      }
    });
    stream.on('end', () => {
      if (length > maxMessageBytes) return;
      // A copy: a call that is held must not keep the connection's read buffer.
      this.#answer(call, Buffer.concat(chunks), handler).catch((error: unknown) => {
        this.#options.logger.error({ err: error }, 'a call could not be answered');
        stream.destroy();
      });
    });
  }

  async #answer(call: Call, body: Buffer, handler: UnaryHandler): Promise<void> {
    const { stream } = call;
    const { signal } = call.controller;
    let response;
    try {
      response = await handler(unframe(body), signal);
      call.answered = true;
    } catch (error) {
      call.answered = true;
      if (stream.destroyed || stream.headersSent) return;
      const failure: unknown = signal.reason instanceof CallError ? signal.reason : error;
      if (!(failure instanceof CallError)) {
        this.#options.logger.error({ err: failure }, 'a call failed');
      }
      fail(stream, failure);
      return;
    }
    if (stream.destroyed) return;
    begin(stream, GrpcStatus.OK);
    stream.end(frame(response));
  }

  readonly #healthCheck: UnaryHandler = (message) => Promise.resolve(this.#health.check(message));

  /** Stays open, and sends whether this server serves, until it does no longer. Never resolves. */
  #watch({ stream }: Call, message: Buffer): Promise<never> {
    return new Promise((_, reject) => {
      let first = true;
      const end = this.#health.watch(message, (response) => {
        if (stream.destroyed) return;
        if (first) begin(stream, GrpcStatus.UNAVAILABLE);
        stream.write(frame(response));
        if (!first) stream.end();
        first = false;
      });
      stream.once('close', () => {
        end();
        reject(new CallError(GrpcStatus.CANCELLED, 'The watcher has gone.'));
      });
    });
  }
}

/** Sends the response's headers, and `status` when its body has ended. */
function begin(stream: ServerHttp2Stream, status: GrpcStatus): void {
  stream.respond({ ':status': 200, 'content-type': CONTENT_TYPE }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }));
}

/** Ends a call that has not been answered yet with a status and no message. */
function fail(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.headersSent) return;
  const known = error instanceof CallError;
  stream.respond(
    {
      ':status': 200,
      'content-type': CONTENT_TYPE,
      'grpc-status': String(known ? error.status : GrpcStatus.INTERNAL),
      'grpc-message': encodeURI(known ? error.message : 'The call failed; see the log of authz.'),
    },
    { endStream: true },
  );
  // What is still on its way is not wanted (RFC 9113, section 8.1).
  stream.close(constants.NGHTTP2_NO_ERROR);
}
