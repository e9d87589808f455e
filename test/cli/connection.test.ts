import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { EXIT_DENIED, EXIT_UNREACHABLE, EXIT_USAGE, reportFailure } from '../../src/cli/report.js';
import { type ConnectionOptions, connect } from '../../src/cli/admin-client.js';
import { startAdminApi } from '../support/admin-api.js';
import { TestAuthority } from '../support/certificates.js';

function options(given: Partial<ConnectionOptions> & { readonly flags?: Record<string, string> }) {
  const { flags = {}, ...rest } = given;
  return {
    options: new Map(Object.entries(flags)),
    env: {},
    settingsUrl: 'http://127.0.0.1:1',
    issuerUrl: undefined,
    settingsNamed: false,
    login: async () => undefined,
    ...rest,
  };
}

async function exitCodeOf(promise: Promise<unknown>): Promise<number> {
  try {
    await promise;
  } catch (error) {
    return reportFailure(error).exitCode;
  }
  return 0;
}

test('the server and the token may come from variables, which options beat', async (t) => {
  const api = await startAdminApi(t);
  const folder = mkdtempSync(join(tmpdir(), 'connection-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'token');
  writeFileSync(file, `${await api.tokenOf('reader')}\n`);
  const env = {
    SPARK_GATEWAY_ADMIN_URL: api.url,
    SPARK_GATEWAY_TOKEN: await api.tokenOf('nobody'),
  };
  const nobody = await connect(options({ env }));
  t.is(await exitCodeOf(nobody.get('status')), EXIT_DENIED);
  const reader = await connect(options({ env, flags: { 'token-file': file } }));
  t.like(await reader.get<object>('status'), { version: '1.2.3' });
});

test('without a token one is told where to put it', async (t) => {
  const error = await t.throwsAsync(connect(options({ flags: { server: 'http://127.0.0.1:1' } })));
  t.regex(error?.message ?? '', /SPARK_GATEWAY_TOKEN/);
  t.is(reportFailure(error).exitCode, EXIT_DENIED);
});

test('where nothing answers, or something else than a gateway, that is said', async (t) => {
  const env = { SPARK_GATEWAY_TOKEN: 'token' };
  const client = await connect(options({ env }));
  const error = await t.throwsAsync(client.get('status'));
  t.regex(error?.message ?? '', /http:\/\/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/);
  t.is(reportFailure(error).exitCode, EXIT_UNREACHABLE);
  const api = await startAdminApi(t);
  const elsewhere = await connect(options({ env, flags: { server: `${api.url}/below` } }));
  t.like(await t.throwsAsync(elsewhere.get('status')), { code: 'HTTP_PATH_UNKNOWN' });
  t.is(await exitCodeOf(connect(options({ env, flags: { server: 'gateway:9090' } }))), EXIT_USAGE);
});

test('https is believed by the authority that is named, and by no other', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'connection-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const names = { commonName: 'gateway', ipv4: ['127.0.0.1'] };
  const authority = new TestAuthority();
  const { certificatePem, keyPem } = authority.issue(names);
  const { caFile } = authority.writeFiles(folder, 'gateway', names);
  const server = createHttps({ cert: certificatePem, key: keyPem }, (_request, response) => {
    response.end('{"answer":42}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { SPARK_GATEWAY_TOKEN: 'token' };
  const named = await connect(options({ env, flags: { server: url, 'ca-file': caFile } }));
  t.deepEqual(await named.get('status'), { answer: 42 });
  const unnamed = await connect(options({ env, flags: { server: url } }));
  t.is(await exitCodeOf(unnamed.get('status')), EXIT_UNREACHABLE);
});
