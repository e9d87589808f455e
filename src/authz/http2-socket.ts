/** One HTTP/2 connection on its socket: what is answered in one turn of the event loop is written at once. */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { ServerConnection, type ServerConnectionOptions } from './http2/server-connection.js';

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
