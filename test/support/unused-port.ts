import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { hasCode } from '../../src/model/errors.js';

/** Below those that systems give to outgoing connections, which could take one before it is used. */
const FIRST = 15_100;
const END = 32_000;

/** A TCP port on which nothing listens at this moment. */
export async function unusedPort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    const server = createServer().listen({ port, host, exclusive: true });
    try {
      await once(server, 'listening');
    } catch (error) {
      if (hasCode(error, 'EADDRINUSE')) continue;
      throw error;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
