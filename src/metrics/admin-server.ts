/** The HTTP port of a role: metrics for Prometheus, liveness and readiness, and what the role adds. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { text } from '../http/answer.js';
import type { Routes } from '../http/router.js';
import { type HttpServer, type HttpServerOptions, startHttpServer } from '../http/server.js';
import type { TcpAddress } from '../model/address.js';

/** undefined: ready. Otherwise what is still missing, for people. */
export type Readiness = () => string | undefined;

export interface AdminServerOptions {
  readonly address: TcpAddress;
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly routes?: Routes;
  readonly logger: Logger;
  /** undefined: plain HTTP. */
  readonly tls?: HttpServerOptions['tls'];
}

/** Rejects when the address cannot be listened on, or the certificate not be used (SETTINGS_INVALID). */
export function startAdminServer(options: AdminServerOptions): Promise<HttpServer> {
  const { address, registry, readiness, logger, tls } = options;
  return startHttpServer({
    address,
    logger,
    tls,
    routes: {
      'GET /metrics': async () => ({
        status: 200,
        headers: { 'content-type': registry.contentType },
        body: await registry.metrics(),
      }),
      'GET /healthz': () => text('ok'),
      'GET /readyz': () => {
        const missing = readiness();
        return text(missing ?? 'ok', missing === undefined ? 200 : 503);
      },
      ...options.routes,
    },
  });
}
