/**
 * The gateway's xDS server for the benchmark, a process of its own. Commands on standard input, one
 * JSON line of answer for each.
 */
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { startXdsServer } from '../../src/xds/xds-server.js';
import { assignment, cluster, CLUSTERS, FIRST_PORT } from './world.js';

const VIEW = 'all';
const cache = new ResourceCache();
const indexes = Array.from({ length: CLUSTERS }, (_, index) => index);
cache.update(VIEW, {
  upserts: indexes.flatMap((index) => [cluster(index), assignment(index, FIRST_PORT)]),
});
const server = await startXdsServer({
  address: { host: '127.0.0.1', port: 0 },
  cache,
  viewOf: () => ({ view: VIEW }),
  logger: pino({ level: 'silent' }),
});
const reply = (value: Record<string, number>) => process.stdout.write(`${JSON.stringify(value)}\n`);
reply({ port: server.port });

let port = FIRST_PORT;
for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'usage') {
    const { user, system } = process.cpuUsage();
    reply({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() });
  } else if (command === 'memory') {
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    reply({ keptBytes: heapUsed + external });
  } else if (command === 'change') {
    port += 1;
    cache.update(VIEW, { upserts: [assignment(CLUSTERS / 2, port)] });
    reply({});
  }
}
await server.close();
