import test, { type ExecutionContext } from 'ava';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { pino } from 'pino';
import { type DevelopmentIssuer, startDevelopmentIssuer } from '../../src/issuer/issuer-server.js';
import { ManualClock } from '../support/manual-clock.js';

const REDIRECT = 'http://127.0.0.1:9090/auth/callback';

async function start(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'issuer-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const clock = new ManualClock(Date.now());
  const issuer = await startDevelopmentIssuer({
    address: { host: '127.0.0.1', port: 0 },
    keysFile: join(folder, 'keys.json'),
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
  const { issuer, configuration } = await start(t);
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
  const { clock, configuration } = await start(t);
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
  const { issuer } = await start(t);
  const query = { client_id: 'development', response_type: 'code', user: 'alice' };
  for (const redirect_uri of ['https://example.com/', 'http://example.com/', 'javascript:1', '']) {
    const answer = await answerOf(issuer, { ...query, redirect_uri });
    t.is(answer.status, 400, redirect_uri);
  }
});

test('what an application asks wrongly is told to it', async (t) => {
  const { issuer, configuration } = await start(t);
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
  const { configuration } = await start(t);
  const hostile = '"><script>alert(1)</script>';
  const page = await (await fetch(await authorizeUrl(configuration, { state: hostile }))).text();
  t.notRegex(page, /<script>/);
});
