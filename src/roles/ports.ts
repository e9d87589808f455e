/** Checks before a start that every port is to be had, so that a clash is one clear line. */
import { createServer } from 'node:net';
import { formatAddress, type TcpAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';

export interface NeededPort {
  /** The setting that names it. */
  readonly setting: string;
  readonly address: TcpAddress;
}

/** Rejects with SETTINGS_INVALID, one line for each address that cannot be listened on. */
export async function checkPorts(needed: readonly NeededPort[]): Promise<void> {
  const problems = (await Promise.all(needed.map(problemOf))).filter(
    (problem) => problem !== undefined,
  );
  if (problems.length > 0) throw new GatewayError('SETTINGS_INVALID', problems.join('\n'));
}

function problemOf({ setting, address }: NeededPort): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(`${setting}: ${formatAddress(address)} ${reason(error)}`);
    });
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
      server.close(() => resolve(undefined));
    });
  });
}

function reason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'is in use by another program: stop that, or choose another port';
    case 'EACCES':
      return 'is not allowed to this user: choose a port above 1023';
    case 'EADDRNOTAVAIL':
      return 'is no address of this machine';
    default:
      return `cannot be listened on: ${error.message}`;
  }
}
