import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { consoleParts, startAdminServer } from '../../src/processes/admin.js';
import { compileSettings } from '../../src/settings/compile-settings.js';

test('a handler that fails is one bad answer, not the end of the process', async (t) => {
  const server = await startAdminServer({
    address: { host: '127.0.0.1', port: 0 },
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
  const ask = (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`);
  t.is((await ask('/broken')).status, 500);
  t.is((await ask('/healthz')).status, 200);
});

test('what is reached by https says that it always is; what is not says nothing', async (t) => {
  for (const httpsOnly of [true, false]) {
    const server = await startAdminServer({
      address: { host: '127.0.0.1', port: 0 },
      logger: pino({ enabled: false }),
      registry: new Registry(),
      readiness: () => undefined,
      httpsOnly,
    });
    t.teardown(() => server.close());
    const { headers } = await fetch(`http://127.0.0.1:${server.port}/healthz`);
    t.is(headers.get('strict-transport-security'), httpsOnly ? 'max-age=31536000' : null);
  }
});

test('the command line logs in as its own client, or as the console where that has no secret', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'console-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'secret'), 'of the console');
  const login = async (written: Readonly<Record<string, string>>) => {
    const overrides = Object.entries({ 'console.issuer': 'https://login.example.com', ...written });
    const settings = compileSettings({ env: {}, overrides, cwd: folder });
    return (await consoleParts(settings, async () => Buffer.alloc(32)))?.login;
  };
  const scope = 'openid offline_access';
  const issuer = 'https://login.example.com';
  const ofConsole = { 'console.client_id': 'console' };
  t.deepEqual(await login(ofConsole), { issuer, clientId: 'console', scope });
  const secret = { ...ofConsole, 'console.client_secret_file': 'secret' };
  t.is(await login(secret), undefined, 'who has no secret cannot be this client');
  t.like(await login({ ...secret, 'console.login_client_id': 'cli' }), { clientId: 'cli' });
  const asked = { ...ofConsole, 'console.login_scope': 'openid groups' };
  t.like(await login(asked), { scope: 'openid groups' });
});
