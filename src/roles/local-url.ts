import { formatAddress, type TcpAddress } from '../model/address.js';

/** The URL at which a client on this machine reaches what listens on `address`. */
export function localUrl({ host, port }: TcpAddress): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return `http://${formatAddress({ host: everywhere ? '127.0.0.1' : host, port })}`;
}
