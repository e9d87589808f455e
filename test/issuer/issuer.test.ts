import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { pino } from 'pino';
import {
  type DevelopmentIssuer,
  type DevelopmentIssuerOptions,
  startDevelopmentIssuer,
} from '../../src/issuer/issuer-server.js';
import { DevelopmentKeys, ISSUER_KEYS_FILE, mintToken } from '../../src/issuer/tokens.js';
import { systemClock } from '../../src/model/clock.js';
import { unusedAddress } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';
import { sharedKeysFile } from '../support/token-issuer.js';

// Tokens and keys.

const HOST = await unusedAddress();

async function directoryFor(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'issuer-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

/** Keys that may change. */
async function ownKeys(t: ExecutionContext): Promise<string> {
  await DevelopmentKeys.open(sharedKeysFile());
  const path = join(await directoryFor(t), ISSUER_KEYS_FILE);
  await copyFile(sharedKeysFile(), path);
  return path;
}

async function start(
  t: ExecutionContext,
  rest: Partial<DevelopmentIssuerOptions> = {},
): Promise<DevelopmentIssuer> {
  const issuer = await startDevelopmentIssuer({
    address: { host: HOST, port: 0 },
    keysFile: sharedKeysFile(),
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
  const issuer = await start(t, { keysFile: await ownKeys(t) });
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
  const issuer = await start(t, { keysFile: await ownKeys(t) });
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

// Signing in with a browser.

const REDIRECT = 'http://127.0.0.1:9090/auth/callback';

/** An issuer, and a client that knows it. */
async function startWithClient(t: ExecutionContext) {
  const clock = new ManualClock(Date.now());
  const issuer = await startDevelopmentIssuer({
    address: { host: '127.0.0.1', port: 0 },
    keysFile: sharedKeysFile(),
    audience: 'api://spark-gateway',
    clientId: 'development',
    tokenTtlMs: 3_600_000,
    clock,
    logger: pino({ level: 'silent' }),
  });
  t.teardown(() => issuer.close());
  const configuration = await client.discovery(
    new URL(issuer.url),
    'development',
    undefined,
    client.None(),
    { execute: [client.allowInsecureRequests] },
  );
  return { issuer, clock, configuration };
}

const verifier = client.randomPKCECodeVerifier();

async function authorizeUrl(
  configuration: client.Configuration,
  more: Readonly<Record<string, string>> = {},
): Promise<URL> {
  return client.buildAuthorizationUrl(configuration, {
    redirect_uri: REDIRECT,
    scope: 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: 'the-state',
    nonce: 'the-nonce',
    ...more,
  });
}

/** Where the issuer sends the browser. */
async function sentTo(url: URL): Promise<URL> {
  const answer = await fetch(url, { redirect: 'manual' });
  return new URL(answer.headers.get('location') ?? 'about:blank');
}

function exchange(configuration: client.Configuration, callback: URL, pkceCodeVerifier = verifier) {
  return client.authorizationCodeGrant(configuration, callback, {
    pkceCodeVerifier,
    expectedState: 'the-state',
    expectedNonce: 'the-nonce',
  });
}

async function answerOf(issuer: DevelopmentIssuer, query: Record<string, string>) {
  return fetch(`${issuer.url}/authorize?${new URLSearchParams(query).toString()}`, {
    redirect: 'manual',
  });
}

test('who signs in chooses one of the people and gets tokens as Okta makes them', async (t) => {
  const { issuer, configuration } = await startWithClient(t);
  const url = await authorizeUrl(configuration);
  const page = await (await fetch(url)).text();
  const [, href = ''] = /href="([^"]*user=alice[^"]*)"/.exec(page) ?? [];
  const callback = await sentTo(new URL(href.replaceAll('&amp;', '&'), issuer.url));
  t.is(callback.origin + callback.pathname, REDIRECT);
  const tokens = await exchange(configuration, callback);
  t.like(tokens.claims(), { sub: 'alice@example.com', aud: 'development', nonce: 'the-nonce' });
  t.like(decodeJwt(tokens.access_token), {
    sub: 'alice@example.com',
    aud: 'api://spark-gateway',
    cid: 'development',
    groups: ['everyone', 'data-engineers'],
  });
});

test('a code serves once, for a minute, and only with its verifier', async (t) => {
  const { clock, configuration } = await startWithClient(t);
  const chosen = await authorizeUrl(configuration, { user: 'bob' });
  const refused = async (answer: Promise<unknown>) => {
    t.like(await t.throwsAsync(answer), { error: 'invalid_grant' });
  };

  const used = await sentTo(chosen);
  await exchange(configuration, used);
  await refused(exchange(configuration, used));

  const stolen = await sentTo(chosen);
  await refused(exchange(configuration, stolen, client.randomPKCECodeVerifier()));
  await refused(exchange(configuration, stolen));

  const late = await sentTo(chosen);
  await clock.advance(60_000);
  await refused(exchange(configuration, late));
});

test('it sends nobody to an address that is not of this machine', async (t) => {
  const { issuer } = await startWithClient(t);
  const query = { client_id: 'development', response_type: 'code', user: 'alice' };
  for (const redirect_uri of ['https://example.com/', 'http://example.com/', 'javascript:1', '']) {
    const answer = await answerOf(issuer, { ...query, redirect_uri });
    t.is(answer.status, 400, redirect_uri);
  }
});

test('what an application asks wrongly is told to it', async (t) => {
  const { issuer, configuration } = await startWithClient(t);
  const plain = await sentTo(await authorizeUrl(configuration, { code_challenge_method: 'plain' }));
  t.is(plain.searchParams.get('error'), 'invalid_request');
  const implicit = await sentTo(await authorizeUrl(configuration, { response_type: 'token' }));
  t.is(implicit.searchParams.get('error'), 'unsupported_response_type');
  const nobody = await sentTo(await authorizeUrl(configuration, { user: 'zoe' }));
  t.is(nobody.searchParams.get('error'), 'access_denied');
  t.is(nobody.searchParams.get('state'), 'the-state');
  const other = await answerOf(issuer, { client_id: 'other', redirect_uri: REDIRECT });
  t.is(other.status, 400);
});

test('what is asked for shows on the page as text only', async (t) => {
  const { configuration } = await startWithClient(t);
  const hostile = '"><script>alert(1)</script>';
  const page = await (await fetch(await authorizeUrl(configuration, { state: hostile }))).text();
  t.notRegex(page, /<script>/);
});

// Signing in with a device code.

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

async function startForDevice(t: ExecutionContext) {
  const { clock, configuration } = await startWithClient(t);
  const begin = (scope = 'openid offline_access') =>
    client.initiateDeviceAuthorization(configuration, { scope });
  const ask = ({ device_code }: client.DeviceAuthorizationResponse) =>
    client.genericGrantRequest(configuration, GRANT, { device_code });
  return { clock, configuration, begin, ask };
}

function choose(begun: client.DeviceAuthorizationResponse, user: string) {
  return fetch(`${begun.verification_uri_complete}&user=${user}`);
}

async function refusal(t: ExecutionContext, asked: Promise<unknown>): Promise<string | undefined> {
  const { error } = (await t.throwsAsync(asked, { instanceOf: client.ResponseBodyError })) ?? {};
  return error;
}

test('a program gets the tokens of whom a person chose, once', async (t) => {
  const { begin, ask, clock } = await startForDevice(t);
  const begun = await begin();
  t.is(await refusal(t, ask(begun)), 'authorization_pending');
  const page = await (await fetch(begun.verification_uri_complete ?? '')).text();
  t.regex(page, /alice/);
  t.is((await choose(begun, 'alice')).status, 200);
  await clock.advance(1_000);
  const tokens = await ask(begun);
  t.like(decodeJwt(tokens.access_token), { sub: 'alice@example.com', aud: 'api://spark-gateway' });
  t.is(await refusal(t, ask(begun)), 'invalid_grant');
  t.is((await choose(begun, 'bob')).status, 404);
});

test('who asks too often is slowed down; who refuses, or waits too long, ends it', async (t) => {
  const { begin, ask, clock } = await startForDevice(t);
  const begun = await begin();
  t.is(await refusal(t, ask(begun)), 'authorization_pending');
  t.is(await refusal(t, ask(begun)), 'slow_down');
  await clock.advance(1_000);
  t.is(await refusal(t, ask(begun)), 'slow_down', 'the pause has grown');
  await choose(begun, '');
  t.is(await refusal(t, ask(begun)), 'access_denied');
  const late = await begin();
  await clock.advance(600_000);
  t.is(await refusal(t, ask(late)), 'expired_token');
  t.is((await choose(late, 'alice')).status, 404);
});

test('a refresh token serves once, and not after it was taken back', async (t) => {
  const { begin, ask, configuration } = await startForDevice(t);
  const begun = await begin();
  await choose(begun, 'carol');
  const { refresh_token: first = '' } = await ask(begun);
  const renewed = await client.refreshTokenGrant(configuration, first);
  t.is(decodeJwt(renewed.access_token).sub, 'carol@example.com');
  t.is(await refusal(t, client.refreshTokenGrant(configuration, first)), 'invalid_grant');
  const { refresh_token: second = '' } = renewed;
  await client.tokenRevocation(configuration, second);
  t.is(await refusal(t, client.refreshTokenGrant(configuration, second)), 'invalid_grant');
  const online = await begin('openid');
  await choose(online, 'carol');
  t.is((await ask(online)).refresh_token, undefined);
});
