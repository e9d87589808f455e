/** Which decisions authz lets Envoy keep, and for how long. */
import test, { type ExecutionContext } from 'ava';
import {
  AFFINITY_HEADER,
  CLUSTER_HEADER,
  IDENTITY_HEADER,
  ISSUER_HEADER,
  LEASE_HEADER,
  LEASED_HEADER,
  PIN_HEADER,
  PRINCIPAL_HEADER,
  SESSION_HEADER,
} from '../../src/model/names.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { allowed, SESSION, unpacked } from '../support/check-client.js';
import type { PlainPolicyOptions } from '../support/plain-policy.js';
import { encode, type EncodedField, frame } from '../support/spark-messages.js';

const LEASE_MS = 5_000;

async function start(
  t: ExecutionContext,
  policy: Partial<PlainPolicyOptions> = {},
  leaseMs = LEASE_MS,
): Promise<AuthzGateway> {
  const afterExpiry = { queryMs: 3_600_000, sessionMs: 60_000 };
  const gateway = await AuthzGateway.start(policy, { leaseMs, afterExpiry });
  t.teardown(() => gateway.close());
  return gateway;
}

interface Asked {
  readonly token: string;
  readonly method?: string;
  readonly body?: Buffer;
  /** By which Envoy asks. */
  readonly number?: string;
}

/** The words of the lease, behind its number and its seconds; undefined: none. */
async function leaseFor(gateway: AuthzGateway, { number = '7', ...asked }: Asked) {
  const response = allowed(
    await gateway.client.check({ ...asked, headers: { [LEASE_HEADER]: number } }),
  );
  const [given, seconds, ...words] = response.toClient[LEASE_HEADER]?.split(' ') ?? [];
  return given === undefined ? undefined : { given, seconds, words, set: response.set };
}

const message = (...operation: readonly EncodedField[]) =>
  frame(encode([1, SESSION], [2, encode([1, 'ann'])], [3, encode(...operation)]));
const KEY = encode([1, 'spark.a']);
const PAIR = encode([1, encode([1, 'spark.a'], [2, 'x'])]);

test('a ReleaseExecute has a lease with the fewest headers, a Config with all that authz stamps', async (t) => {
  const gateway = await start(t);
  const token = await gateway.token();
  const release = await leaseFor(gateway, { token, method: 'ReleaseExecute' });
  const config = await leaseFor(gateway, { token, method: 'Config', body: message([2, KEY]) });
  const fewest = [LEASED_HEADER, CLUSTER_HEADER, PIN_HEADER, IDENTITY_HEADER];
  const all = [...fewest, AFFINITY_HEADER, PRINCIPAL_HEADER, ISSUER_HEADER, SESSION_HEADER];
  for (const [lease, names] of [
    [release, fewest],
    [config, all],
  ] as const) {
    t.is(lease?.given, '7');
    t.is(lease?.seconds, '5');
    const [packed = '', ...others] = lease?.words ?? [];
    t.like(unpacked({ packed }), { session: SESSION, principal: 'ann@example.com' });
    const stamped = names.slice(1).map((name) => lease?.set[name]);
    t.deepEqual(others, [...stamped, 'drivers-own-token']);
  }
});

const configs: Readonly<Record<string, readonly [boolean, Buffer]>> = {
  get: [true, message([2, KEY])],
  get_with_default: [true, message([3, PAIR])],
  get_option: [true, message([4, KEY])],
  get_all: [true, message([5, Buffer.alloc(0)])],
  is_modifiable: [true, message([7, KEY])],
  set: [false, message([1, PAIR])],
  unset: [false, message([6, KEY])],
  'a reading that sets, too': [false, message([2, KEY], [1, PAIR])],
  'an operation of a later version': [false, message([8, KEY])],
  'one of which only the beginning is seen': [
    false,
    message([2, encode([1, 'x'.repeat(5_000)])]).subarray(0, 4_096),
  ],
};
for (const [what, [isLeased, body]] of Object.entries(configs)) {
  test(`a Config has ${isLeased ? 'a lease' : 'no lease'}: ${what}`, async (t) => {
    const gateway = await start(t);
    const token = await gateway.token();
    const lease = await leaseFor(gateway, { token, method: 'Config', body });
    t.is(lease !== undefined, isLeased);
  });
}

test('no other RPC has one, and none who does not ask for it as Envoy does', async (t) => {
  const gateway = await start(t);
  const token = await gateway.token();
  for (const method of ['ExecutePlan', 'AnalyzePlan', 'ReattachExecute', 'Interrupt', 'GetStatus'])
    t.is(await leaseFor(gateway, { token, method }), undefined, method);
  for (const number of ['', 'x', '7 9', '12345678901'])
    t.is(await leaseFor(gateway, { token, method: 'ReleaseExecute', number }), undefined, number);
});

test('there are none where the policy or the settings say so', async (t) => {
  for (const gateway of [await start(t, { leases: false }), await start(t, {}, 0)]) {
    const token = await gateway.token();
    t.is(await leaseFor(gateway, { token, method: 'ReleaseExecute' }), undefined);
  }
});

const NONE = { principal: undefined, team: undefined, namespace: undefined };
const RATE = { count: 100, perMs: 10_000 };

test('where the policy counts requests a Config has none; a ReleaseExecute is not counted', async (t) => {
  const body = message([2, KEY]);
  for (const of of ['principal', 'team', 'namespace'] as const) {
    const gateway = await start(t, {
      rateLimits: () => ({ sessions: NONE, requests: { ...NONE, [of]: RATE } }),
    });
    const token = await gateway.token();
    t.is(await leaseFor(gateway, { token, method: 'Config', body }), undefined, of);
    t.truthy(await leaseFor(gateway, { token, method: 'ReleaseExecute' }), of);
  }
  const gateway = await start(t, {
    rateLimits: () => ({ sessions: { ...NONE, team: RATE }, requests: NONE }),
  });
  const token = await gateway.token();
  t.truthy(await leaseFor(gateway, { token, method: 'Config', body }));
});

test('a lease ends with the token, and one that has ended has none', async (t) => {
  const gateway = await start(t);
  const token = await gateway.token({ exp: gateway.clock.now() / 1000 + 3 });
  const method = 'ReleaseExecute';
  // The issuer's policy allows clocks to differ by 30 s.
  await gateway.clock.advance(30_000);
  t.is((await leaseFor(gateway, { token, method }))?.seconds, '3');
  await gateway.clock.advance(2_500);
  t.is(await leaseFor(gateway, { token, method }), undefined);
  await gateway.clock.advance(10_000);
  t.is(await leaseFor(gateway, { token, method }), undefined, 'it may finish what it began');
});
