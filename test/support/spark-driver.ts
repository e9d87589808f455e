/** A stand-in for a Spark Connect server: its real service and paths, with bytes for messages. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { TLSSocket } from 'node:tls';
import { SPARK_CONNECT_SERVICE } from '../../src/model/names.js';

/** One RPC as the driver sees it. */
export interface DriverCall {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Messages received so far, without their gRPC frame. */
  readonly messages: readonly Buffer[];
  /** Serial number of the certificate that Envoy has shown; undefined in the clear. */
  readonly peerSerial: string | undefined;
  /** Resolves when the client has sent everything. */
  readonly halfClosed: Promise<void>;
  /** Resolves when the RPC is over, however it ended. */
  readonly closed: Promise<void>;
  /** Sends response headers; else they go out with the first message. */
  respond(headers: Readonly<Record<string, string>>): void;
  send(message: string): void;
  /** Ends with a status; 0 by default. */
  end(status?: number): void;
}

/** PEM. */
export interface DriverTls {
  readonly certificate: string;
  readonly key: string;
  /** Who must have signed the client's certificate. */
  readonly clientAuthority: string;
}

export type CallHandler = (call: DriverCall, driver: SparkDriver) => void;

/** Answers with the driver's uid once the client has sent everything. */
export const answerUid: CallHandler = (call, driver) => {
  void call.halfClosed.then(() => {
    call.send(driver.uid);
    call.end();
  });
};

export class SparkDriver {
  readonly uid: string;
  readonly calls: DriverCall[] = [];
  readonly #server: Http2Server | Http2SecureServer;
  readonly #isSecure: boolean;
  readonly #sockets = new Set<Socket>();
  #arrived: (() => void)[] = [];

  private constructor(
    uid: string,
    handler: CallHandler,
    tls: DriverTls | undefined,
    streamsPerConnection: number | undefined,
  ) {
    this.uid = uid;
    this.#isSecure = tls !== undefined;
    const settings =
      streamsPerConnection === undefined ? {} : { maxConcurrentStreams: streamsPerConnection };
    this.#server = tls
      ? createSecureServer({
          settings,
          cert: tls.certificate,
          key: tls.key,
          ca: tls.clientAuthority,
          requestCert: true,
          rejectUnauthorized: true,
        })
      : createServer({ settings });
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('stream', (stream, headers) => {
      const call = accept(stream, headers);
      this.calls.push(call);
      for (const resolve of this.#arrived.splice(0)) resolve();
      handler(call, this);
    });
  }

  static async start(
    uid: string,
    address: string,
    handler: CallHandler = answerUid,
    tls?: DriverTls,
    streamsPerConnection?: number,
  ): Promise<SparkDriver> {
    const driver = new SparkDriver(uid, handler, tls, streamsPerConnection);
    driver.#server.listen(0, address);
    await once(driver.#server, 'listening');
    return driver;
  }

  get address(): { readonly address: string; readonly port: number } {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('not listening');
    return bound;
  }

  /** That are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** The next RPC that arrives. */
  async nextCall(): Promise<DriverCall> {
    const before = this.calls.length;
    for (;;) {
      const call = this.calls[before];
      if (call) return call;
      await new Promise<void>((resolve) => {
        this.#arrived.push(resolve);
      });
    }
  }

  /** Cuts every connection with a TCP reset, as when the process is killed or the network breaks. */
  cut(): void {
    for (const socket of this.#sockets) {
      // A socket that is being shut down, by TLS perhaps, cannot be reset (libuv's uv_tcp_close_reset): Node
      // would never close it, and its process, having nothing else to do, wait for that with all its power.
      if (this.#isSecure || socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }
}

function accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): DriverCall {
  const messages: Buffer[] = [];
  let pending = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32BE(1)) {
      const end = 5 + pending.readUInt32BE(1);
      messages.push(pending.subarray(5, end));
      pending = pending.subarray(end);
    }
  });
  // A cut shows to tests as `closed`.
  stream.on('error', () => undefined);
  return {
    method: (headers[':path'] ?? '').replace(`/${SPARK_CONNECT_SERVICE}/`, ''),
    headers,
    messages,
    peerSerial:
      stream.session?.socket instanceof TLSSocket
        ? stream.session.socket.getPeerCertificate().serialNumber
        : undefined,
    halfClosed: once(stream, 'end').then(() => undefined),
    closed: new Promise((resolve) => {
      stream.on('close', resolve);
    }),
    respond(more) {
      stream.respond({ ...responseHeaders, ...more }, { waitForTrailers: true });
    },
    send(message) {
      if (!stream.headersSent) stream.respond(responseHeaders, { waitForTrailers: true });
      const frame = Buffer.alloc(5 + Buffer.byteLength(message));
      frame.writeUInt32BE(frame.length - 5, 1);
      frame.write(message, 5);
      stream.write(frame);
    },
    end(status = 0) {
      if (!stream.headersSent) {
        stream.respond({ ...responseHeaders, 'grpc-status': status }, { endStream: true });
        return;
      }
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
      stream.end();
    },
  };
}

const responseHeaders = { ':status': 200, 'content-type': 'application/grpc' };
