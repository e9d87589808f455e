import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { SPARK_CONNECT_PORT } from '../../src/model/driver.js';

/**
 * A loopback address on whose port 15002 nothing listens, from a network such as `127.91.22`. By
 * chance, so that runs of the same test at the same time do not meet.
 */
export async function unusedAddress(network: string): Promise<string> {
  for (;;) {
    const address = `${network}.${randomInt(1, 255)}`;
    const server = createServer().listen({ host: address, port: SPARK_CONNECT_PORT });
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return address;
  }
}
