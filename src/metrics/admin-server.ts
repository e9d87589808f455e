/** The HTTP port of a role: metrics for Prometheus, liveness and readiness, and what the role adds. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

/** undefined: ready. Otherwise what is still missing, for people. */
export type Readiness = () => string | undefined;

export type AdminHandler = (
  request: IncomingMessage,
  response: ServerResponse,
) => void | Promise<void>;

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  readonly registry: Registry;
  readonly readiness: Readiness;
  /** By `METHOD /path`, without query. */
  readonly handlers?: Readonly<Record<string, AdminHandler>>;
}

export interface AdminServer {
  /** The port in use, also when 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects when the address cannot be listened on. */
export function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const handlers: Record<string, AdminHandler> = {
    'GET /metrics': async (_request, response) => {
      const body = await options.registry.metrics();
      response.writeHead(200, { 'content-type': options.registry.contentType }).end(body);
    },
    'GET /healthz': (_request, response) => {
      sendText(response, 200, 'ok');
    },
    'GET /readyz': (_request, response) => {
      const missing = options.readiness();
      sendText(response, missing === undefined ? 200 : 503, missing ?? 'ok');
    },
    ...options.handlers,
  };
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0];
    const handler = handlers[`${request.method} ${path}`];
    if (!handler) {
      sendText(response, 404, `Nothing here. There is: ${Object.keys(handlers).join(', ')}`);
      return;
    }
    // A handler that throws at once must not end the process either.
    Promise.resolve()
      .then(() => handler(request, response))
      .catch(() => {
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address ? address.port : options.port,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
