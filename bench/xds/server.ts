/** The gateway's xDS server for the benchmark, a process of its own. */
import { pino } from 'pino';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { startXdsServer } from '../../src/xds/xds-server.js';
import { serveCommands } from './commands.js';
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
let port = FIRST_PORT;
await serveCommands(server.port, () => {
  port += 1;
  cache.update(VIEW, { upserts: [assignment(CLUSTERS / 2, port)] });
});
await server.close();
