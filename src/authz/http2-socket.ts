/** One HTTP/2 connection on its socket: what is answered in one turn of the event loop is written at once. */
import type { Socket, Server } from 'node:net';
import type { Logger } from 'pino';
import { prepareLocalAddress, protectLocalAddress } from '../lib/grpc/local-address.js';
import { ServerConnection, type ServerConnectionOptions } from '../lib/http2/server-connection.js';
import { formatAddress, type SocketAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';

/** A peer that asks and never reads is cut off, bytes. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

/** Serves HTTP/2 on a socket that a peer has connected to, until it is closed. */
export function serveHttp2(
  socket: Socket,
  options: Omit<ServerConnectionOptions, 'onOutput'> & { readonly logger: Logger },
): ServerConnection {
  const { logger } = options;
  let isReading = false;
  let isScheduled = false;
  const connection = new ServerConnection({
    ...options,
    onOutput() {
      if (isReading || isScheduled) return;
      isScheduled = true;
      setImmediate(() => {
        isScheduled = false;
        flush(socket, connection);
      });
    },
  });
  flush(socket, connection);
  socket.on('data', (chunk) => {
    isReading = true;
    try {
      connection.receive(chunk);
    } catch (error) {
      logger.error({ err: error }, 'a connection to authz cannot be read');
      socket.destroy();
    }
    isReading = false;
    flush(socket, connection);
  });
  socket.on('error', (error) => logger.debug({ err: error }, 'connection to authz failed'));
  socket.on('close', () => connection.disconnected());
  return connection;
}

function flush(socket: Socket, connection: ServerConnection): void {
  const output = connection.takeOutput();
  if (output && socket.writable) socket.write(output);
  if (connection.finished) socket.end();
  if (socket.writableLength > MAX_UNSENT_BYTES) {
    socket.destroy(new Error('the peer does not read its answers'));
  }
}

// Listening where only this machine can reach: a unix socket, or a loopback address.

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
