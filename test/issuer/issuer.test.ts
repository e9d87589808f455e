import test, { type ExecutionContext } from 'ava';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { pino } from 'pino';
import { systemClock } from '../../src/model/clock.js';
import { ISSUER_KEYS_FILE, DevelopmentKeys, mintToken } from '../../src/issuer/tokens.js';
import {
  type DevelopmentIssuer,
  type DevelopmentIssuerOptions,
  startDevelopmentIssuer,
} from '../../src/issuer/issuer-server.js';
import { unusedAddress } from '../support/loopback.js';

const HOST = await unusedAddress();

async function directoryFor(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'issuer-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

async function start(
  t: ExecutionContext,
  rest: Partial<DevelopmentIssuerOptions> = {},
): Promise<DevelopmentIssuer> {
  const issuer = await startDevelopmentIssuer({
    address: { host: HOST, port: 0 },
    keysFile: rest.keysFile ?? join(await directoryFor(t), 'keys.json'),
    audience: 'api://spark-gateway',
    clientId: 'development',
    tokenTtlMs: 3_600_000,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    ...rest,
  });
  t.teardown(() => issuer.close());
  return issuer;
}

/** Verifies as a relying party would: discovery document, then keys, then token. */
async function verify(issuer: DevelopmentIssuer, token: string): Promise<Record<string, unknown>> {
  const found = await fetch(`${issuer.url}/.well-known/openid-configuration`);
  const document = (await found.json()) as { issuer: string; jwks_uri: string };
  const keys = createRemoteJWKSet(new URL(document.jwks_uri));
  const options = {
    issuer: document.issuer,
    audience: 'api://spark-gateway',
    algorithms: ['RS256'],
  };
  const { payload } = await jwtVerify(token, keys, options);
  return payload;
}

test('a token looks like one of Okta and verifies through the discovery document', async (t) => {
  const issuer = await start(t);
  const answer = await fetch(`${issuer.url}/token?user=alice`);
  t.is(answer.status, 200);
  const claims = await verify(issuer, (await answer.text()).trim());
  t.like(claims, {
    iss: issuer.url,
    sub: 'alice@example.com',
    aud: 'api://spark-gateway',
    cid: 'development',
    groups: ['everyone', 'data-engineers'],
    team: 'data',
    ver: 1,
  });
  t.is(Number(claims['exp']) - Number(claims['iat']), 3600);
});

test('the life of a token can be chosen', async (t) => {
  const issuer = await start(t);
  const token = await (await fetch(`${issuer.url}/token?user=bob&ttl=90s`)).text();
  const { exp = 0, iat = 0 } = decodeJwt(token.trim());
  t.is(exp - iat, 90);
  const wrong = await fetch(`${issuer.url}/token?user=bob&ttl=soon`);
  t.is(wrong.status, 400);
  t.regex(await wrong.text(), /ttl must be a duration/);
});

test('an expired token, and one with other claims, can be minted', async (t) => {
  const issuer = await start(t);
  const expired = await issuer.mintToken('alice', { issuedAtMs: 0, ttlMs: 1000 });
  await t.throwsAsync(verify(issuer, expired), { code: 'ERR_JWT_EXPIRED' });
  const foreign = await issuer.mintToken('alice', { claims: { aud: 'api://other' } });
  await t.throwsAsync(verify(issuer, foreign), { message: /aud/ });
});

test('an unknown person is told who there is', async (t) => {
  const issuer = await start(t);
  const answer = await fetch(`${issuer.url}/token?user=zoe`);
  t.is(answer.status, 404);
  t.regex(await answer.text(), /no "zoe"; there are alice, bob, carol, dave, nightly-reports/);
  await t.throwsAsync(issuer.mintToken('zoe'), { code: 'SETTINGS_INVALID' });
});

test('tokens survive a restart; the keys are for their owner only', async (t) => {
  const keysFile = join(await directoryFor(t), 'state', 'keys.json');
  const first = await start(t, { keysFile });
  const token = await first.mintToken('carol');
  const address = { host: HOST, port: Number(new URL(first.url).port) };
  await first.close();
  t.is((await stat(keysFile)).mode & 0o777, 0o600);
  const second = await start(t, { keysFile, address });
  t.is((await verify(second, token))['sub'], 'carol@example.com');
});

test('rotation signs with a new key and keeps the former ones for a while', async (t) => {
  const issuer = await start(t);
  const before = await issuer.mintToken('alice');
  const rotated = await fetch(`${issuer.url}/rotate`, { method: 'POST' });
  t.is(rotated.status, 200);
  await t.notThrowsAsync(verify(issuer, before));
  await t.notThrowsAsync(verify(issuer, await issuer.mintToken('alice')));
  await issuer.rotateKeys();
  await issuer.rotateKeys();
  await t.throwsAsync(verify(issuer, before), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('a revoked key verifies no more', async (t) => {
  const issuer = await start(t);
  const before = await issuer.mintToken('alice');
  await fetch(`${issuer.url}/rotate?revoke=true`, { method: 'POST' });
  await t.throwsAsync(verify(issuer, before), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('a program that shares the key file mints tokens without asking', async (t) => {
  const keysFile = join(await directoryFor(t), ISSUER_KEYS_FILE);
  const issuer = await start(t, { keysFile });
  const token = await mintToken(await DevelopmentKeys.open(keysFile), 'dave', {
    issuer: issuer.url,
    audience: 'api://spark-gateway',
    clientId: 'development',
    issuedAtMs: systemClock.now(),
    ttlMs: 60_000,
  });
  t.is((await verify(issuer, token))['sub'], 'dave@example.com');
});

test('two processes that start at once share one key', async (t) => {
  const path = join(await directoryFor(t), 'keys.json');
  const [one, other] = await Promise.all([DevelopmentKeys.open(path), DevelopmentKeys.open(path)]);
  t.deepEqual(one.jwks(), other.jwks());
  t.is(one.jwks().keys.length, 1);
  t.notRegex(JSON.stringify(one.jwks()), /"(d|p|q)"/);
  t.regex(await readFile(path, 'utf8'), /"d"/);
});

test('a page in a browser gets no token', async (t) => {
  const issuer = await start(t);
  const { port } = new URL(issuer.url);
  const ask = async (headers: Record<string, string>): Promise<number | undefined> => {
    const sent = request({ host: HOST, port, path: '/token?user=alice', headers });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    await text(response);
    return response.statusCode;
  };
  t.is(await ask({ host: `rebound.example.com:${port}` }), 403);
  t.is(await ask({ host: `localhost:${port}`, origin: 'https://example.com' }), 403);
  t.is(await ask({ host: `localhost:${port}` }), 200);
});

test('it listens on a loopback address only, and says when it cannot', async (t) => {
  await t.throwsAsync(start(t, { address: { host: '0.0.0.0', port: 0 } }), {
    message: /must listen on a loopback address/,
  });
  const taken = { host: HOST, port: Number(new URL((await start(t)).url).port) };
  await t.throwsAsync(start(t, { address: taken }), { message: /cannot listen on .*EADDRINUSE/ });
});
