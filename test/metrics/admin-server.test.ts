import test from 'ava';
import { Registry } from 'prom-client';
import { startAdminServer } from '../../src/metrics/admin-server.js';

test('a handler that fails is one bad answer, not the end of the process', async (t) => {
  const server = await startAdminServer({
    host: '127.1.40.1',
    port: 0,
    registry: new Registry(),
    readiness: () => undefined,
    handlers: {
      'GET /broken': () => {
        throw new Error('broken');
      },
    },
  });
  t.teardown(() => server.close());
  const ask = (path: string) => fetch(`http://127.1.40.1:${server.port}${path}`);
  t.is((await ask('/broken')).status, 500);
  t.is((await ask('/healthz')).status, 200);
});
