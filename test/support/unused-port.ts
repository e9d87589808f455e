import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { hasCode } from '../../src/model/errors.js';

/** Below those that systems give to outgoing connections, which could take one before it is used. */
const FIRST = 15_100;
const END = 32_000;
/** Nobody may listen there yet. */
const given = new Set<number>();

/** A TCP port on which nothing listens at this moment, and which this process was not given before. */
export async function unusedPort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    if (given.has(port)) continue;
    const server = createServer().listen({ port, host, exclusive: true });
    try {
      await once(server, 'listening');
    } catch (error) {
      if (hasCode(error, 'EADDRINUSE')) continue;
      throw error;
    }
    server.close();
    await once(server, 'close');
    given.add(port);
    return port;
  }
}
