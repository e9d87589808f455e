import anyTest, { type TestFn } from 'ava';
import pino from 'pino';
import { TokenVerifier } from '../../../src/authz/token/verifier.js';
import { GatewayError } from '../../../src/model/errors.js';
import { ManualClock } from '../../support/manual-clock.js';
import { TokenIssuer } from '../../support/token-issuer.js';

const REFRESH_MS = 300_000;
const COOLDOWN_MS = 30_000;

interface Context {
  issuer: TokenIssuer;
  clock: ManualClock;
  verifier: TokenVerifier;
  /** Resolves when the next attempt to fetch keys has ended. */
  nextFetch: () => Promise<boolean>;
}
const test = anyTest as TestFn<Context>;

test.beforeEach(async (t) => {
  const issuer = await TokenIssuer.start();
  const clock = new ManualClock();
  let waiting: ((ok: boolean) => void)[] = [];
  const verifier = new TokenVerifier({
    clock,
    logger: pino({ level: 'silent' }),
    keyRefreshMs: REFRESH_MS,
    keyCooldownMs: COOLDOWN_MS,
    onKeyFetch: (_, ok) => {
      const resolvers = waiting;
      waiting = [];
      for (const resolve of resolvers) resolve(ok);
    },
  });
  t.context = {
    issuer,
    clock,
    verifier,
    nextFetch: () => new Promise((resolve) => void waiting.push(resolve)),
  };
});
test.afterEach.always(async (t) => {
  t.context.verifier.close();
  await t.context.issuer.close();
});

async function outcome(verifier: TokenVerifier, token: string): Promise<string> {
  try {
    await verifier.verify(token);
    return 'accepted';
  } catch (error) {
    if (error instanceof GatewayError) return error.code;
    throw error;
  }
}

test('keys are fetched once for any number of first requests', async (t) => {
  const { issuer, clock, verifier } = t.context;
  void verifier.useIssuers([issuer.policy()]);
  const token = await issuer.token(clock.now());
  const all = await Promise.all(Array.from({ length: 100 }, () => outcome(verifier, token)));
  t.true(all.every((one) => one === 'accepted'));
  t.is(issuer.keyFetches, 1);
});

test('a key that is new since the last fetch is fetched once for a hundred requests', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy()]);
  await issuer.addKey('ec-2', 'ES256');
  await clock.advance(COOLDOWN_MS);
  const tokens = await Promise.all(
    Array.from({ length: 100 }, (_, i) => issuer.token(clock.now(), { jti: `${i}` }, 'ec-2')),
  );
  const all = await Promise.all(tokens.map((token) => outcome(verifier, token)));
  t.true(all.every((one) => one === 'accepted'));
  t.is(issuer.keyFetches, 2);
});

test('made-up key ids cause no more than one fetch in a cool-down, and are refused after it', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy()]);
  await issuer.addKey('secret', 'ES256', false);
  const token = await issuer.token(clock.now(), {}, 'secret');
  t.is(await outcome(verifier, token), 'TOKEN_KEY_UNKNOWN');
  t.is(issuer.keyFetches, 1);
  await clock.advance(COOLDOWN_MS);
  const all = await Promise.all(Array.from({ length: 100 }, () => outcome(verifier, token)));
  t.true(all.every((one) => one === 'TOKEN_SIGNATURE_INVALID'));
  t.is(await outcome(verifier, token), 'TOKEN_SIGNATURE_INVALID');
  t.is(issuer.keyFetches, 2);
});

test('a key that is new within the cool-down is doubt with the time left, then good', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy()]);
  await clock.advance(10_000);
  await issuer.addKey('rotated', 'ES256');
  const token = await issuer.token(clock.now(), {}, 'rotated');
  const error = await t.throwsAsync(Promise.resolve(verifier.verify(token)), {
    instanceOf: GatewayError,
  });
  t.is(error.code, 'TOKEN_KEY_UNKNOWN');
  t.is(error.status, 14);
  t.is(error.retryAfterMs, COOLDOWN_MS - 10_000);
  t.regex(error.message, /"rotated".*again in 20 s/);
  await clock.advance(error.retryAfterMs ?? 0);
  t.is(await outcome(verifier, token), 'accepted');
});

test('many made-up key ids keep nobody with a new key from it', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy()]);
  await issuer.addKey('secret', 'ES256', false);
  await issuer.addKey('rotated', 'ES256');
  const good = await issuer.token(clock.now(), {}, 'rotated');
  for (let i = 0; i < 300; i++) {
    const [, payload, signature] = (await issuer.token(clock.now(), {}, 'secret')).split('.');
    const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: `made-up-${i}` }));
    const madeUp = [header.toString('base64url'), payload, signature].join('.');
    t.is(await outcome(verifier, madeUp), 'TOKEN_KEY_UNKNOWN');
  }
  t.is(await outcome(verifier, good), 'TOKEN_KEY_UNKNOWN');
  await clock.advance(COOLDOWN_MS);
  t.is(await outcome(verifier, good), 'accepted');
});

test('keys that cannot be fetched again are believed for a while, and no longer', async (t) => {
  const { issuer, clock } = t.context;
  const verifier = new TokenVerifier({
    clock,
    logger: pino({ level: 'silent' }),
    keyRefreshMs: REFRESH_MS,
    keyGreatestAgeMs: 3_600_000,
  });
  t.teardown(() => verifier.close());
  await verifier.useIssuers([issuer.policy()]);
  const remembered = await issuer.token(clock.now(), { exp: clock.now() / 1000 + 86_400 });
  const fresh = await issuer.token(clock.now(), { exp: clock.now() / 1000 + 80_000 });
  t.is(await outcome(verifier, remembered), 'accepted');
  issuer.down = true;
  await clock.advance(3_599_000);
  t.is(await outcome(verifier, remembered), 'accepted');
  await clock.advance(1000);
  t.is(await outcome(verifier, remembered), 'ISSUER_UNREACHABLE');
  t.is(await outcome(verifier, fresh), 'ISSUER_UNREACHABLE');
  t.regex(verifier.issuerKeys()[0]?.problem ?? '', /status 503/);
  issuer.down = false;
  await clock.advance(2_000);
  t.is(await outcome(verifier, remembered), 'accepted');
  t.is(verifier.issuerKeys()[0]?.problem, undefined);
});

test('an issuer that differs by the slash at its end is told with both spellings', async (t) => {
  const { issuer, verifier } = t.context;
  const url = issuer.url;
  await verifier.useIssuers([issuer.policy({ issuer: `${url}/` })]);
  const [state] = verifier.issuerKeys();
  t.is(state?.issuer, `${url}/`);
  t.true(
    state?.problem?.endsWith(
      `is of issuer "${url}", not "${url}/". They differ by the slash at the end: write "${url}".`,
    ),
    state?.problem,
  );
});

test('issuers whose keys were never fetched are named until they are', async (t) => {
  const { issuer, clock, verifier, nextFetch } = t.context;
  issuer.down = true;
  await verifier.useIssuers([issuer.policy()]);
  t.deepEqual(verifier.issuersWithoutKeys(), [issuer.policy().issuer]);
  issuer.down = false;
  const succeeded = nextFetch();
  await clock.advance(2_000);
  t.true(await succeeded);
  t.deepEqual(verifier.issuersWithoutKeys(), []);
  issuer.down = true;
  const failed = nextFetch();
  await clock.advance(REFRESH_MS);
  t.false(await failed);
  t.deepEqual(verifier.issuersWithoutKeys(), []);
});

test('known keys stay in use while the issuer is down, and an unknown key is doubt', async (t) => {
  const { issuer, clock, verifier, nextFetch } = t.context;
  await verifier.useIssuers([issuer.policy()]);
  issuer.down = true;
  const failed = nextFetch();
  await clock.advance(REFRESH_MS);
  t.false(await failed);
  t.is(await outcome(verifier, await issuer.token(clock.now())), 'accepted');
  await issuer.addKey('new', 'ES256');
  const fresh = await issuer.token(clock.now(), {}, 'new');
  t.is(await outcome(verifier, fresh), 'ISSUER_UNREACHABLE');
  issuer.down = false;
  const succeeded = nextFetch();
  await clock.advance(2_000);
  t.true(await succeeded);
  t.is(await outcome(verifier, fresh), 'accepted');
});

test('an issuer that has never answered is doubt, not a refusal', async (t) => {
  const { issuer, clock, verifier } = t.context;
  issuer.down = true;
  await verifier.useIssuers([issuer.policy()]);
  const token = await issuer.token(clock.now());
  const error = await t.throwsAsync(Promise.resolve(verifier.verify(token)), {
    instanceOf: GatewayError,
  });
  t.is(error.code, 'ISSUER_UNREACHABLE');
  t.true((error.retryAfterMs ?? 0) > 0);
});

test('a key that the issuer withdraws stops the tokens that it signed, remembered or not', async (t) => {
  const { issuer, clock, verifier, nextFetch } = t.context;
  await issuer.addKey('ec-2', 'ES256');
  await verifier.useIssuers([issuer.policy()]);
  const withdrawn = await issuer.token(clock.now());
  const kept = await issuer.token(clock.now(), {}, 'ec-2');
  const keptBefore = await verifier.verify(kept);
  t.is(await outcome(verifier, withdrawn), 'accepted');
  issuer.published.delete('rsa-1');
  const fetched = nextFetch();
  await clock.advance(REFRESH_MS);
  t.true(await fetched);
  t.is(await outcome(verifier, withdrawn), 'TOKEN_SIGNATURE_INVALID');
  t.is(await verifier.verify(kept), keptBefore);
});

test('a key that is replaced under the same id stops the tokens of the old one', async (t) => {
  const { issuer, clock, verifier, nextFetch } = t.context;
  await verifier.useIssuers([issuer.policy()]);
  const old = await issuer.token(clock.now());
  t.is(await outcome(verifier, old), 'accepted');
  await issuer.addKey('rsa-1', 'RS256');
  const fetched = nextFetch();
  await clock.advance(REFRESH_MS);
  await fetched;
  t.is(await outcome(verifier, old), 'TOKEN_SIGNATURE_INVALID');
  t.is(await outcome(verifier, await issuer.token(clock.now())), 'accepted');
});

test('entries of a key set that are no usable keys are passed over', async (t) => {
  const { issuer, clock, verifier } = t.context;
  issuer.oddKeys = [[], null, 7, {}, { kty: 'RSA', kid: 3 }, { kty: 'oct', k: 'AAAA' }];
  await verifier.useIssuers([issuer.policy()]);
  t.is(await outcome(verifier, await issuer.token(clock.now())), 'accepted');
});

test('a discovery document of another issuer is not believed', async (t) => {
  const { issuer, clock, verifier } = t.context;
  issuer.claimedIssuer = 'https://elsewhere.example';
  await verifier.useIssuers([issuer.policy()]);
  t.is(await outcome(verifier, await issuer.token(clock.now())), 'ISSUER_UNREACHABLE');
  t.is(issuer.keyFetches, 0);
});

test('an issuer without a discovery document is used by its key set', async (t) => {
  const { issuer, clock, verifier } = t.context;
  issuer.claimedIssuer = 'not asked for';
  await verifier.useIssuers([issuer.policy({ jwksUri: `${issuer.url}/keys` })]);
  t.is(await outcome(verifier, await issuer.token(clock.now())), 'accepted');
});

test('an issuer beyond loopback is not asked over plain HTTP', async (t) => {
  const { issuer, clock, verifier } = t.context;
  await verifier.useIssuers([issuer.policy({ jwksUri: 'http://192.0.2.1/keys' })]);
  t.is(await outcome(verifier, await issuer.token(clock.now())), 'ISSUER_UNREACHABLE');
});
