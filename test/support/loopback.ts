/** Loopback addresses that no other test uses at the same time, in this process or another. */
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Whoever listens here on the last address of a network has all of it. */
const RESERVING_PORT = 15_001;
/** Of the numbers that are handed out in a network. */
const LAST = 253;

let own: Promise<string> | undefined;
let used = 0;

/** An address of this process's own network, each time another one: every port of it is free. */
export async function unusedAddress(): Promise<string> {
  if (own === undefined || used === LAST) {
    own = reserveNetwork();
    used = 0;
  }
  used += 1;
  const last = used;
  return `${await own}.${last}`;
}

/** A network of 254 addresses that is this process's, such as `127.93.8.0/24`, for local drivers. */
export async function unusedRange(): Promise<string> {
  return `${await reserveNetwork()}.0/24`;
}

/** The first three numbers of a network that is this process's until it ends. */
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
