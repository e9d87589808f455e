/** Listening where only this machine can reach: a unix socket, or a loopback address. */
import { lstat, chmod, unlink } from 'node:fs/promises';
import { connect, isIP, type Server } from 'node:net';
import { formatAddress, type SocketAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';

/** Owner and group: Envoy runs under the same user or in the same group. */
const SOCKET_MODE = 0o660;

/**
 * Resolves with the gRPC target that reaches the server. A socket file that a process left behind is
 * replaced; one that something answers on, or a file of another kind, is not: SETTINGS_INVALID.
 */
export async function listen(server: Server, address: SocketAddress): Promise<string> {
  if ('path' in address) {
    await removeStaleSocket(address.path);
    await listening(server, address);
    await chmod(address.path, SOCKET_MODE);
    return formatAddress(address);
  }
  if (!isLoopback(address.host)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `authz hands out drivers' credentials in plain text, so it listens on loopback or a unix socket only, not on ${address.host}.`,
    );
  }
  await listening(server, address);
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return formatAddress(address);
  return formatAddress({ host: bound.address, port: bound.port });
}

function listening(server: Server, address: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'something else listens there' : error.message;
      reject(
        new GatewayError(
          'SETTINGS_INVALID',
          `authz cannot listen on ${formatAddress(address)}: ${why}.`,
          {
            cause: error,
          },
        ),
      );
    };
    server.once('error', failed);
    server.listen({ ...address }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

async function removeStaleSocket(path: string): Promise<void> {
  let found;
  try {
    found = await lstat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  if (!found.isSocket()) {
    throw new GatewayError('SETTINGS_INVALID', `${path} exists and is not a socket; remove it.`);
  }
  if (await answers(path)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `Another process listens on ${path}; stop it first.`,
    );
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
