import test from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { startAdminServer } from '../../src/processes/admin.js';

test('a handler that fails is one bad answer, not the end of the process', async (t) => {
  const server = await startAdminServer({
    address: { host: '127.1.40.1', port: 0 },
    logger: pino({ enabled: false }),
    registry: new Registry(),
    readiness: () => undefined,
    routes: {
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

test('what is reached by https says that it always is; what is not says nothing', async (t) => {
  for (const httpsOnly of [true, false]) {
    const server = await startAdminServer({
      address: { host: '127.1.40.1', port: 0 },
      logger: pino({ enabled: false }),
      registry: new Registry(),
      readiness: () => undefined,
      httpsOnly,
    });
    t.teardown(() => server.close());
    const { headers } = await fetch(`http://127.1.40.1:${server.port}/healthz`);
    t.is(headers.get('strict-transport-security'), httpsOnly ? 'max-age=31536000' : null);
  }
});
