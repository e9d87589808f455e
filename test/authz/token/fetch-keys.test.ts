/** Issuers behind a proxy, with certificates of an authority of their own. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { keysOverHttps } from '../../../src/authz/token/fetch-keys.js';
import { TestAuthority } from '../../support/certificates.js';
import { TokenIssuer } from '../../support/token-issuer.js';

const ISSUER = 'https://login.corp.test/oauth2/default';
const KEYS = [{ kty: 'EC', kid: 'one' }];

async function listening(t: ExecutionContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An issuer that only a proxy can reach: nobody else knows its name. */
async function behindProxy(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'issuer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const { certificatePem, keyPem } = authority.issue({
    commonName: 'login',
    dnsNames: ['login.corp.test'],
  });
  const caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, authority.certificatePem);
  const issuer = createHttpsServer({ cert: certificatePem, key: keyPem }, (request, response) => {
    response.end(
      JSON.stringify(
        request.url?.endsWith('/keys')
          ? { keys: KEYS }
          : { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` },
      ),
    );
  });
  const issuerPort = await listening(t, issuer);
  const asked: string[] = [];
  const proxy = createHttpServer((_, response) => response.writeHead(405).end());
  proxy.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    const upstream = connect(issuerPort, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  const proxyPort = await listening(t, proxy);
  return { asked, caFile, folder, proxyUrl: `http://user:secret@127.0.0.1:${proxyPort}` };
}

const policy = (changes: object = {}) => ({
  issuer: ISSUER,
  audiences: ['a'],
  clientIds: [],
  algorithms: ['RS256'],
  groupsClaim: 'groups',
  principalClaim: 'sub',
  clockSkewMs: 0,
  ...changes,
});
const { signal } = new AbortController();

for (const name of ['HTTPS_PROXY', 'https_proxy']) {
  test(`keys come through the proxy of ${name}, from an issuer with a private authority`, async (t) => {
    const { asked, caFile, proxyUrl } = await behindProxy(t);
    const fetchKeys = keysOverHttps({ [name]: proxyUrl });
    t.deepEqual(await fetchKeys(policy({ caFile }), signal), { keys: KEYS });
    t.true(asked.length > 0);
    t.true(asked.every((one) => one === 'login.corp.test:443'));
  });
}

test('without its authority an issuer is not believed, and the message names ca_file, not the proxy’s password', async (t) => {
  const { proxyUrl } = await behindProxy(t);
  const error = await t.throwsAsync(keysOverHttps({ HTTPS_PROXY: proxyUrl })(policy(), signal));
  t.regex(error.message, /login\.corp\.test.*certificate.*ca_file/);
  t.notRegex(error.message, /secret/);
});

test('an authority that cannot be read is named', async (t) => {
  const { folder, proxyUrl } = await behindProxy(t);
  const caFile = join(folder, 'no.pem');
  const fetchKeys = keysOverHttps({ HTTPS_PROXY: proxyUrl });
  const error = await t.throwsAsync(fetchKeys(policy({ caFile }), signal));
  t.true(error.message.includes(`ca_file ${caFile} cannot be read`));
});

test('NO_PROXY is heeded, and loopback goes round every proxy', async (t) => {
  const { asked, caFile, proxyUrl } = await behindProxy(t);
  const excepted = keysOverHttps({ HTTPS_PROXY: proxyUrl, NO_PROXY: '.corp.test' });
  await t.throwsAsync(excepted(policy({ caFile }), signal), { message: /cannot be fetched/ });
  const issuer = await TokenIssuer.start();
  t.teardown(() => issuer.close());
  const everywhere = keysOverHttps({ HTTPS_PROXY: proxyUrl, https_proxy: proxyUrl });
  const { keys } = await everywhere(issuer.policy(), signal);
  t.is(keys.length, 1);
  t.deepEqual(asked, []);
});
