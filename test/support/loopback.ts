/** Loopback addresses that no other test uses at the same time, in this process or another. */
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Whoever listens here on the last address of a network has all of it. */
const RESERVING_PORT = 15_001;

let own: Promise<string> | undefined;
let used = 0;

/** An address of this test file's own network, each time another one: every port of it is free. */
export async function unusedAddress(): Promise<string> {
  own ??= reserveNetwork();
  const network = await own;
  used += 1;
  if (used > 253) throw new Error('No loopback address is left.');
  return `${network}.${used}`;
}

/** A network of 254 addresses for this test file, such as `127.93.8.0/24`, for local drivers. */
export async function unusedRange(): Promise<string> {
  return `${await reserveNetwork()}.0/24`;
}

/** The first three numbers of a network that is this test file's until its process or thread ends. */
export async function reserveNetwork(): Promise<string> {
  for (;;) {
    const network = `127.${randomInt(100, 250)}.${randomInt(0, 256)}`;
    const server = createServer().listen({ host: `${network}.254`, port: RESERVING_PORT });
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.unref();
    return network;
  }
}
