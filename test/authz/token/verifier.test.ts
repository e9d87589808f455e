import anyTest, { type TestFn } from 'ava';
import pino from 'pino';
import { TokenVerifier } from '../../../src/authz/token/verifier.js';
import { GatewayError } from '../../../src/model/errors.js';
import type { IssuerPolicy } from '../../../src/model/policy.js';
import { ManualClock } from '../../support/manual-clock.js';
import { TokenIssuer } from '../../support/token-issuer.js';

interface Context {
  issuer: TokenIssuer;
  clock: ManualClock;
  verifier: TokenVerifier;
  cache: { hit: number; miss: number };
}
const test = anyTest as TestFn<Context>;

test.beforeEach(async (t) => {
  const issuer = await TokenIssuer.start();
  const clock = new ManualClock();
  const cache = { hit: 0, miss: 0 };
  const verifier = new TokenVerifier({
    clock,
    logger: pino({ level: 'silent' }),
    maxTokenBytes: 4096,
    onCache: (result) => cache[result]++,
  });
  await verifier.useIssuers([issuer.policy()]);
  t.context = { issuer, clock, verifier, cache };
});
test.afterEach.always(async (t) => {
  t.context.verifier.close();
  await t.context.issuer.close();
});

async function refusal(verifier: TokenVerifier, token: string): Promise<GatewayError> {
  try {
    await verifier.verify(token);
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('the token was accepted');
}

test('a good token gives the principal, its groups and its claims', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const token = await issuer.token(clock.now(), { groups: ['data', 'ml'], team: 'data' });
  const { caller, goodUntilMs } = await verifier.verify(token);
  t.deepEqual(caller.principal, { issuer: issuer.url, subject: 'ann@example.com' });
  t.deepEqual(caller.groups, ['data', 'ml']);
  t.is(caller.claims['team'], 'data');
  t.is(goodUntilMs, clock.now() + 3_600_000 + 30_000);
});

test('the claims that name principal and groups are settings', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy({ principalClaim: 'email', groupsClaim: 'roles' })]);
  const token = await issuer.token(clock.now(), { email: 'ann@corp', roles: 'admin' });
  const { caller } = await verifier.verify(token);
  t.is(caller.principal.subject, 'ann@corp');
  t.deepEqual(caller.groups, ['admin']);
});

for (const alg of ['ES256', 'PS256']) {
  test(`a token signed with ${alg} is accepted`, async (t) => {
    const { issuer, clock, verifier } = t.context;
    await issuer.addKey('other', alg);
    await clock.advance(30_000);
    t.truthy(await verifier.verify(await issuer.token(clock.now(), {}, 'other')));
  });
}

test('an algorithm that the policy does not list is refused, whatever the key', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await issuer.addKey('rsa-512', 'RS512');
  const error = await refusal(verifier, await issuer.token(clock.now(), {}, 'rsa-512'));
  t.is(error.code, 'TOKEN_ALGORITHM_REFUSED');
  t.regex(error.message, /"RS512".*RS256/);
});

test('a token without a signature is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  t.is((await refusal(verifier, issuer.unsecured(clock.now()))).code, 'TOKEN_ALGORITHM_REFUSED');
});

test('HMAC with the public key as its secret is refused, even if the policy lists HS256', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const token = await issuer.hmacWithPublicKey(clock.now());
  t.is((await refusal(verifier, token)).code, 'TOKEN_ALGORITHM_REFUSED');
  await verifier.useIssuers([issuer.policy({ algorithms: ['HS256', 'none', 'RS256'] })]);
  t.is((await refusal(verifier, token)).code, 'TOKEN_ALGORITHM_REFUSED');
  t.is((await refusal(verifier, issuer.unsecured(clock.now()))).code, 'TOKEN_ALGORITHM_REFUSED');
});

test('a token of another audience is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const error = await refusal(verifier, await issuer.token(clock.now(), { aud: 'api://other' }));
  t.is(error.code, 'TOKEN_AUDIENCE_REFUSED');
  t.regex(error.message, /"api:\/\/other"; accepted: api:\/\/spark/);
});

test('a token made for another client is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const error = await refusal(verifier, await issuer.token(clock.now(), { cid: 'other-app' }));
  t.is(error.code, 'TOKEN_AUDIENCE_REFUSED');
  t.regex(error.message, /"other-app"; accepted: spark-client/);
});

test('the client may be named by azp or, in an ID token, by the audience', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy({ audiences: [] })]);
  const now = clock.now();
  t.truthy(await verifier.verify(await issuer.token(now, { cid: undefined, azp: 'spark-client' })));
  t.truthy(
    await verifier.verify(await issuer.token(now, { cid: undefined, aud: ['spark-client'] })),
  );
  const nameless = await issuer.token(now, { cid: undefined });
  t.is((await refusal(verifier, nameless)).code, 'TOKEN_AUDIENCE_REFUSED');
});

test('a token that is not valid yet is refused, but for the clock skew', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const seconds = Math.floor(clock.now() / 1000);
  const early = await issuer.token(clock.now(), { nbf: seconds + 31 });
  const error = await refusal(verifier, early);
  t.is(error.code, 'TOKEN_NOT_YET_VALID');
  t.regex(error.message, /not valid before 20\d\d-/);
  t.truthy(await verifier.verify(await issuer.token(clock.now(), { nbf: seconds + 29 })));
});

test('an expired token is told by its time, and only if all else is good', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const expired = { exp: Math.floor(clock.now() / 1000) - 100 };
  const { goodUntilMs } = await verifier.verify(await issuer.token(clock.now(), expired));
  t.is(goodUntilMs, clock.now() - 70_000);
  const alsoForeign = await issuer.token(clock.now(), { ...expired, aud: 'api://other' });
  t.is((await refusal(verifier, alsoForeign)).code, 'TOKEN_AUDIENCE_REFUSED');
});

test('a token without an expiry is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const eternal = await issuer.token(clock.now(), { exp: undefined });
  t.is((await refusal(verifier, eternal)).code, 'TOKEN_MALFORMED');
});

test('a token that names nobody is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  for (const sub of [undefined, '', 'a\r\nx-spark-cluster: b', 'x'.repeat(257)]) {
    const error = await refusal(verifier, await issuer.token(clock.now(), { sub }));
    t.is(error.code, 'TOKEN_MALFORMED');
    t.regex(error.message, /"sub"/);
  }
});

test('a token of an issuer that the policy does not name is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const foreign = await TokenIssuer.start('foreign');
  const error = await refusal(verifier, await foreign.token(clock.now()));
  t.is(error.code, 'TOKEN_ISSUER_UNKNOWN');
  t.true(error.message.includes(issuer.url));
  t.is(foreign.keyFetches, 0);
  await foreign.close();
});

test('a token that claims a known issuer but is signed by another is refused', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const foreign = await TokenIssuer.start('foreign');
  const forged = await foreign.token(clock.now(), { iss: issuer.url });
  t.is((await refusal(verifier, forged)).code, 'TOKEN_SIGNATURE_INVALID');
  await foreign.close();
});

for (const [what, token] of Object.entries({
  'no JWT': 'abc',
  'an encrypted token': 'a.b.c.d.e',
  'parts that are not JSON': 'AAAA.AAAA.AAAA',
  'a token beyond the size limit': 'x'.repeat(5000),
})) {
  test(`${what} is refused as malformed`, async (t) => {
    t.is((await refusal(t.context.verifier, token)).code, 'TOKEN_MALFORMED');
  });
}

test('no refusal holds the token', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const token = await issuer.token(clock.now(), { aud: 'api://other' });
  for (const refused of [token, `${token}x`, token.slice(0, -20)]) {
    const error = await refusal(verifier, refused);
    t.false(error.message.includes(token.split('.')[2] ?? ''));
    t.false(error.message.includes(token.split('.')[1] ?? ''));
  }
});

test('several issuers are accepted side by side, each with its own keys', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const second = await TokenIssuer.start('second');
  const policies: IssuerPolicy[] = [issuer.policy(), second.policy()];
  await verifier.useIssuers(policies);
  const first = await verifier.verify(await issuer.token(clock.now()));
  const other = await verifier.verify(await second.token(clock.now()));
  t.is(first.caller.principal.issuer, issuer.url);
  t.is(other.caller.principal.issuer, second.url);
  await second.close();
});

test('a token is verified once and then remembered, also after its end: a long query asks with it', async (t) => {
  const { issuer, clock, verifier, cache } = t.context;
  const token = await issuer.token(clock.now());
  const first = await verifier.verify(token);
  t.is(await verifier.verify(token), first);
  t.deepEqual(cache, { hit: 1, miss: 1 });
  await clock.advance(3_600_000);
  t.is(await verifier.verify(token), first);
  t.deepEqual(cache, { hit: 2, miss: 1 });
});

test('a remembered token ends when the settings of its issuer change', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const token = await issuer.token(clock.now());
  await verifier.verify(token);
  await verifier.useIssuers([issuer.policy({ clientIds: ['another'] })]);
  t.is((await refusal(verifier, token)).code, 'TOKEN_AUDIENCE_REFUSED');
  t.is(issuer.keyFetches, 1);
  await verifier.useIssuers([]);
  t.is((await refusal(verifier, token)).code, 'TOKEN_ISSUER_UNKNOWN');
});

test('a token whose end is beyond reason is refused, also one that no date can say', async (t) => {
  const { issuer, clock, verifier } = t.context;
  const seconds = clock.now() / 1000;
  const day = 86_400;
  t.truthy(await verifier.verify(await issuer.token(clock.now(), { exp: seconds + 365 * day })));
  for (const exp of [seconds + 367 * day, seconds * 1000, 1e15, 1e300]) {
    const error = await refusal(verifier, await issuer.token(clock.now(), { exp }));
    t.is(error.code, 'TOKEN_LIFE_TOO_LONG', `${exp}`);
    t.regex(error.message, /366 days at most/);
  }
});
