/** Listening where only this machine can reach: a unix socket, or a loopback address. */
import type { Server } from 'node:net';
import { prepareLocalAddress, protectLocalAddress } from '../lib/grpc/local-address.js';
import { formatAddress, type SocketAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';

/**
 * Resolves with the gRPC target that reaches the server. A socket file that a process left behind is
 * replaced; one that something answers on, or a file of another kind, is not: SETTINGS_INVALID.
 */
export async function listen(server: Server, address: SocketAddress): Promise<string> {
  await prepareLocalAddress(address, "authz hands out drivers' credentials in plain text");
  await listening(server, address);
  await protectLocalAddress(address);
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
