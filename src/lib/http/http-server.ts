/** An HTTP server that a bad request, a slow client or a failing handler cannot bring down. */
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { TcpAddress } from '../../model/address.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError, toGatewayError, reasonOf } from '../../model/errors.js';
import { Followed } from '../files/followed.js';
import { type Answer, failure } from './answer.js';
import { type Exchange, readBody, Router, type Routes } from './router.js';

export interface HttpServerOptions {
  readonly address: TcpAddress;
  readonly routes: Routes;
  readonly logger: Logger;
  /** Whether browsers reach it by https only, here or at a proxy in front. */
  readonly httpsOnly?: boolean;
  /** How refusals and failures are told. Default: as the admin API does. */
  readonly failure?: TellFailure;
  /** undefined: plain HTTP. */
  readonly tls?: Omit<CertificateOptions, 'logger'> | undefined;
}

export type TellFailure = (
  thrown: unknown,
  headers?: Readonly<Record<string, string | string[]>>,
) => Answer;

export interface HttpServer {
  /** The port in use, also when 0 was asked for. */
  readonly port: number;
  /** Cuts what is under way. */
  close(): Promise<void>;
}

/** A request must have come as a whole within this. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 60_000;
const MAX_HEADER_BYTES = 32 * 1024;
const MAX_CONNECTIONS = 1_000;

/** https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers */
const securityHeaders: Answer['headers'] = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** RFC 6797. */
const STRICT_TRANSPORT_SECURITY = 'max-age=31536000';

const limits = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  headersTimeout: HEADERS_TIMEOUT_MS,
  keepAliveTimeout: IDLE_TIMEOUT_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
  connectionsCheckingInterval: HEADERS_TIMEOUT_MS / 2,
};

/** Rejects when the address cannot be listened on, or the certificate not be used (SETTINGS_INVALID). */
export async function startHttpServer({
  address,
  routes,
  logger,
  httpsOnly,
  failure: told = failure,
  tls,
}: HttpServerOptions): Promise<HttpServer> {
  const router = new Router(routes);
  const standing = {
    ...securityHeaders,
    ...(tls || httpsOnly ? { 'strict-transport-security': STRICT_TRANSPORT_SECURITY } : {}),
  };
  const { server, release } = createOn(tls && { ...tls, logger }, (request, response) => {
    answerOf(router, request, response, told)
      .catch((error: unknown) => {
        // What is given up with its request is no failure.
        if (!response.destroyed) logFailure(logger, router, request, error);
        return told(error);
      })
      .then((answer) => send(request, response, answer, standing))
      .catch((error: unknown) => {
        logFailure(logger, router, request, error);
        response.destroy();
      });
  });
  server.maxConnections = MAX_CONNECTIONS;
  // The server's own list leaves out those that are in the midst of their TLS handshake.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      release();
      reject(error);
    };
    server.once('error', failed);
    server.listen(address.port, address.host, () => {
      server.off('error', failed);
      server.on('error', (error) => logger.error({ err: error }, 'the HTTP server failed'));
      const bound = server.address();
      resolve({
        port: typeof bound === 'object' && bound ? bound.port : address.port,
        close: () =>
          new Promise((done) => {
            release();
            server.close(() => done());
            server.closeAllConnections();
            for (const socket of sockets) socket.destroy();
          }),
      });
    });
  });
}

/** Renewed certificates are for new connections; those that are open go on. */
function createOn(
  tls: CertificateOptions | undefined,
  listener: RequestListener,
): { readonly server: Server; readonly release: () => void } {
  if (!tls) return { server: createServer(limits, listener), release: () => undefined };
  const certificate = followCertificate(tls, (pair) => server.setSecureContext(pair));
  const server = createTlsServer(
    { ...limits, ...certificate.current, handshakeTimeout: HEADERS_TIMEOUT_MS },
    listener,
  );
  return { server, release: () => certificate.stop() };
}

async function answerOf(
  router: Router,
  request: IncomingMessage,
  response: ServerResponse,
  told: TellFailure,
): Promise<Answer> {
  const { method = 'GET', headers } = request;
  const [path, ...query] = pathAndQuery(request);
  const match = router.match(method, path);
  switch (match.kind) {
    case 'unknown':
      throw new GatewayError('HTTP_PATH_UNKNOWN', 'There is nothing at this address.');
    case 'other methods': {
      const allowed = match.allowed.join(', ');
      return told(
        new GatewayError('HTTP_METHOD_REFUSED', `Only ${allowed} can be used with this address.`),
        { allow: allowed },
      );
    }
    case 'found': {
      const abort = new AbortController();
      response.on('close', () => abort.abort());
      const exchange: Exchange = {
        method,
        path,
        query: new URLSearchParams(query.join('?')),
        headers,
        parameters: match.parameters,
        client: request.socket.remoteAddress,
        signal: abort.signal,
        body: (maxBytes) => readBody(request, maxBytes),
      };
      return match.handler(exchange);
    }
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  standing: Answer['headers'],
): void {
  if (response.destroyed) return;
  const headers: OutgoingHttpHeaders = { ...standing, ...answer.headers };
  // What is left of a body that nobody read would be taken for the next request.
  if (!request.complete) headers['connection'] = 'close';
  response.writeHead(answer.status, headers);
  if (request.method === 'HEAD') response.end();
  else if (typeof answer.body === 'function') answer.body(response);
  else response.end(answer.body);
}

/** Refusals are the client's to know; a failure is ours. A path is the client's own text: it may hold a secret. */
function logFailure(
  logger: Logger,
  router: Router,
  request: IncomingMessage,
  error: unknown,
): void {
  if (toGatewayError(error).code !== 'INTERNAL') return;
  const match = router.match(request.method ?? 'GET', pathAndQuery(request)[0]);
  const route = match.kind === 'found' ? match.pattern : 'other';
  logger.error({ err: error, route }, 'a request failed');
}

function pathAndQuery({ url = '/' }: IncomingMessage): readonly [string, ...string[]] {
  const [path = '/', ...query] = url.split('?');
  return [path, ...query];
}

// The certificate of an HTTP server, from PEM files that may be renewed while it runs.

interface CertificateOptions {
  /** Paths: a certificate chain, and its private key. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the files are read, milliseconds; 10 s by default. */
  readonly refreshMs?: number;
}

interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * `onChange` is given each pair that takes the place of another.
 * @throws GatewayError SETTINGS_INVALID when the files cannot be used
 */
function followCertificate(
  options: CertificateOptions,
  onChange: (pair: KeyPair) => void,
): Followed<KeyPair> {
  const { certFile, clock, logger, refreshMs } = options;
  const followed = new Followed<KeyPair>({
    read: () => read(options),
    isSame: (a, b) => a.cert === b.cert && a.key === b.key,
    clock,
    refreshMs,
    onChange(pair) {
      onChange(pair);
      logger.info({ certFile }, 'certificate renewed');
    },
    onFailure: (error) =>
      logger.error(
        { certFile, reason: reasonOf(error) },
        'certificate refused, the last one stays',
      ),
  });
  followed.start();
  return followed;
}

function read({ certFile, keyFile }: CertificateOptions): KeyPair {
  try {
    const pair = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `${certFile} and ${keyFile} cannot be used: ${reasonOf(cause)}. They must be a PEM certificate and its private key.`,
      { cause },
    );
  }
}
