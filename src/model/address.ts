/** Addresses of sockets, as settings name them. */

export interface TcpAddress {
  /** An IP address without brackets, or a host name. */
  readonly host: string;
  readonly port: number;
}

export interface UnixAddress {
  readonly path: string;
}

export type SocketAddress = TcpAddress | UnixAddress;

/** `host:port` (IPv6 in brackets) or `unix:/path`: the form that grpc-js takes. */
export function formatAddress(address: SocketAddress): string {
  if ('path' in address) return `unix:${address.path}`;
  return address.host.includes(':')
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}
