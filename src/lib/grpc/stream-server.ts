/**
 * Bidirectional gRPC streams on an HTTP/2 server of our own (src/lib/http2): for the port that has a
 * long-lived stream from each of very many clients and little to say to each. Messages are bytes.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import type { X509Certificate } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { SocketAddress } from '../../model/address.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError } from '../../model/errors.js';
import { headerBlock } from '../http2/header-block.js';
import type { ServerConnection } from '../http2/server-connection.js';
import type { ServerStream } from '../http2/server-stream.js';
import { serveHttp2 } from '../http2/socket.js';
import { frame, messageHead, refuseOthers, RESPONSE_HEADERS, STATUS_OK } from './http2-calls.js';
import { MessageReader } from './message-reader.js';
import { fitForHeaders, statusDetails } from './status-details.js';
import { followServerTls, type ServerTls, type TlsFiles } from './tls.js';

/** One stream, as its handler sees it. */
export interface GrpcStream {
  /** Of the verified certificate; undefined without TLS. */
  readonly peerCertificate: X509Certificate | undefined;
  /** `ip:port`, for people. */
  readonly remoteAddress: string;
  /** Sends a message. False asks to wait for `drained`; what is written all the same is kept. */
  write(message: Buffer): boolean;
  /** Ends the stream; nothing happens when it is over. */
  fail(error: GatewayError): void;
}

/** What happens to a stream. */
export interface StreamListener {
  /** The bytes are valid until it returns. */
  message(bytes: Buffer): void;
  drained(): void;
  /** It is over, whoever ended it. Called once. */
  closed(): void;
}

/** Takes a new stream. Throws GatewayError to refuse it. */
export type StreamHandler = (stream: GrpcStream) => StreamListener;

export interface GrpcStreamServerOptions {
  /** For messages: what listens here. */
  readonly name: string;
  readonly address: SocketAddress;
  /** Only clients with a certificate of `caFile` are taken; in the clear without. */
  readonly tls?: TlsFiles | undefined;
  /** By path: how to take a stream, or what to refuse a call with. */
  readonly handlers: ReadonlyMap<string, StreamHandler | GatewayError>;
  /** The largest message that is taken, bytes. */
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A longer message goes beside its header, and is not copied. */
const MAX_COPIED_BYTES = 4_096;
/** What a client may send on one stream before it is read, bytes. */
const STREAM_WINDOW_BYTES = 256 * 1024;
/** For one connection: messages whose end has not come, and what its client has not taken, bytes. */
const MAX_HELD_BYTES = 256 * 1024 * 1024;
const HANDSHAKE_MS = 10_000;
/** A client that is gone without a word is noticed within 40 s. */
const KEEP_ALIVE = { everyMs: 30_000, withinMs: 10_000 };
/** Connections that have not ended by themselves after this are cut. */
const CLOSE_GRACE_MS = 2_000;

export class GrpcStreamServer {
  readonly #options: GrpcStreamServerOptions;
  readonly #tls: ServerTls | undefined;
  readonly #server: Server;
  readonly #connections = new Set<ServerConnection>();
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<Stream>();

  /** @throws GatewayError SETTINGS_INVALID when the TLS files cannot be used. */
  constructor(options: GrpcStreamServerOptions) {
    this.#options = options;
    const { name, tls, clock, logger } = options;
    if (tls) {
      const server = createTlsServer({
        requestCert: true,
        rejectUnauthorized: true,
        ALPNProtocols: ['h2'],
        handshakeTimeout: HANDSHAKE_MS,
        noDelay: true,
      });
      this.#tls = followServerTls(tls, {
        clock,
        onContext: (context) => server.setSecureContext(context),
        onError: (error) =>
          logger.error({ err: error }, `certificates of ${name} cannot be renewed`),
      });
      server.on('secureConnection', (socket) => this.#serve(socket));
      server.on('tlsClientError', (error) => {
        logger.debug({ err: error }, `a client of ${name} was refused`);
      });
      this.#server = server;
    } else {
      this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
    }
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Resolves with the port, 0 for a unix socket. Rejects with SETTINGS_INVALID when it cannot listen. */
  listen(): Promise<number> {
    const { name, address } = this.#options;
    return new Promise((resolve, reject) => {
      const failed = (cause: NodeJS.ErrnoException) => {
        this.#tls?.close();
        const where = 'path' in address ? address.path : `${address.host}:${address.port}`;
        const message = `${name}: cannot listen on ${where}: ${cause.message}. Is it in use?`;
        reject(new GatewayError('SETTINGS_INVALID', message, { cause }));
      };
      this.#server.once('error', failed);
      this.#server.listen({ ...address }, () => {
        this.#server.off('error', failed);
        const bound = this.#server.address();
        resolve(bound === null || typeof bound === 'string' ? 0 : bound.port);
      });
    });
  }

  /** Ends every stream with `reason`. Resolves when the address is free and every connection is closed. */
  async close(reason: GatewayError): Promise<void> {
    this.#tls?.close();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    const trailers = errorTrailers(reason);
    for (const stream of this.#streams) stream.end(trailers);
    for (const connection of this.#connections) connection.shutDown();
    const limit = this.#options.clock.setTimer(CLOSE_GRACE_MS, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await closed;
    limit.cancel();
  }

  #serve(socket: Socket): void {
    const { name, clock, logger } = this.#options;
    const peerCertificate =
      socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
    const remoteAddress = `${socket.remoteAddress}:${socket.remotePort}`;
    const connection: ServerConnection = serveHttp2(socket, {
      maxBodyBytes: STREAM_WINDOW_BYTES,
      maxHeldBytes: MAX_HELD_BYTES,
      keepsRoom: false,
      keepAlive: KEEP_ALIVE,
      timers: clock,
      onError: (error) => logger.debug({ err: error }, `a connection to ${name} failed`),
      onOpen: (stream) => this.#open(connection, stream, { peerCertificate, remoteAddress }),
      // Every stream is taken, or ended, when it is opened.
      onRequest: () => undefined,
      onTooLarge: () => undefined,
    });
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  #open(
    connection: ServerConnection,
    stream: ServerStream,
    peer: Pick<GrpcStream, 'peerCertificate' | 'remoteAddress'>,
  ): void {
    if (refuseOthers(connection, stream)) return;
    const { path = '' } = stream.head;
    const opened = new Stream(connection, stream, peer);
    const handler = this.#options.handlers.get(path);
    if (typeof handler !== 'function') {
      const message = `There is no ${path.slice(0, 100)} here.`;
      opened.fail(handler ?? new GatewayError('METHOD_UNKNOWN', message));
      return;
    }
    const { maxMessageBytes, logger } = this.#options;
    this.#streams.add(opened);
    const forget = () => this.#streams.delete(opened);
    stream.onClose = forget;
    try {
      opened.listen(handler(opened), maxMessageBytes, forget);
    } catch (error) {
      const known = error instanceof GatewayError;
      if (!known) logger.error({ err: error }, 'a stream could not be taken');
      opened.fail(known ? error : new GatewayError('INTERNAL', 'The stream failed; see the log.'));
    }
  }
}

class Stream implements GrpcStream {
  readonly peerCertificate: X509Certificate | undefined;
  readonly remoteAddress: string;
  readonly #connection: ServerConnection;
  readonly #stream: ServerStream;

  constructor(
    connection: ServerConnection,
    stream: ServerStream,
    peer: Pick<GrpcStream, 'peerCertificate' | 'remoteAddress'>,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.peerCertificate = peer.peerCertificate;
    this.remoteAddress = peer.remoteAddress;
  }

  listen(listener: StreamListener, maxMessageBytes: number, onClose: () => void): void {
    const stream = this.#stream;
    const reader = new MessageReader(maxMessageBytes, (bytes) => {
      if (!stream.closed) stream.hold(bytes);
    });
    stream.onData = (data) => {
      try {
        reader.read(data, (message) => {
          if (!stream.closed) listener.message(message);
        });
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        this.fail(error);
      }
    };
    stream.onDrain = () => listener.drained();
    // A client that has nothing more to say wants nothing more.
    stream.onEnd = () => this.end(STATUS_OK);
    stream.onClose = () => {
      onClose();
      listener.closed();
    };
  }

  write(message: Buffer): boolean {
    const stream = this.#stream;
    if (stream.closed) return true;
    if (!stream.responded) this.#connection.respond(stream, RESPONSE_HEADERS, false);
    if (message.length <= MAX_COPIED_BYTES) this.#connection.send(stream, frame(message));
    else {
      this.#connection.send(stream, messageHead(message.length));
      this.#connection.send(stream, message);
    }
    return stream.waiting.length === 0;
  }

  fail(error: GatewayError): void {
    this.end(errorTrailers(error));
  }

  end(trailers: Buffer): void {
    const stream = this.#stream;
    if (stream.closed) return;
    if (!stream.responded) this.#connection.respond(stream, RESPONSE_HEADERS, false);
    this.#connection.finish(stream, trailers);
  }
}

function errorTrailers(error: GatewayError): Buffer {
  const fitting = fitForHeaders(error);
  return headerBlock(undefined, {
    'grpc-status': String(fitting.status),
    'grpc-message': encodeURI(Buffer.from(fitting.message).toString()),
    'grpc-status-details-bin': Buffer.from(statusDetails(fitting)).toString('base64'),
  });
}
