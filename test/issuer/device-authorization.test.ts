import test, { type ExecutionContext } from 'ava';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { pino } from 'pino';
import { startDevelopmentIssuer } from '../../src/issuer/issuer-server.js';
import { ManualClock } from '../support/manual-clock.js';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

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
  const execute = [client.allowInsecureRequests];
  const configuration = await client.discovery(
    new URL(issuer.url),
    'development',
    undefined,
    client.None(),
    { execute },
  );
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
  const { begin, ask, clock } = await start(t);
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
  const { begin, ask, clock } = await start(t);
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
  const { begin, ask, configuration } = await start(t);
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
