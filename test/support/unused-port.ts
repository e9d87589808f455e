import { createServer } from 'node:net';
import { once } from 'node:events';

/** A TCP port on which nothing listens at this moment. */
export async function unusedPort(host = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}
