import type { HttpServerOptions } from '../http/server.js';
import type { Clock } from '../model/clock.js';
import type { Settings } from '../settings/table.js';

/** The certificate of the admin port; undefined: it speaks plain HTTP. */
export function adminTls({ admin }: Settings, clock: Clock): HttpServerOptions['tls'] {
  const { certFile, keyFile } = admin;
  return certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, clock };
}
