import { formatAddress, type TcpAddress } from '../model/address.js';
import type { Settings } from '../settings/table.js';

/** The URL at which a client on this machine reaches what listens on `address`. */
export function localUrl({ host, port }: TcpAddress, scheme: 'http' | 'https' = 'http'): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return `${scheme}://${formatAddress({ host: everywhere ? '127.0.0.1' : host, port })}`;
}

/** The same of the admin port. */
export function localAdminUrl({ admin }: Pick<Settings, 'admin'>): string {
  return localUrl(admin.listenAddr, admin.certFile === undefined ? 'http' : 'https');
}
