import anyTest, { type TestFn } from 'ava';
import type { Policy } from '../../src/model/policy.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { options } from '../policy/support.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, sparkBody } from '../support/check-client.js';

interface Context {
  readonly gateway: AuthzGateway;
  /** Puts policies of these parts in force, and beside it. */
  readonly use: (inForce: string, candidate?: string) => void;
}

const test = anyTest as TestFn<Context>;

const OPEN = `access: [{who: {principals: ["*"]}, what: {teams: ["*"], environments: ["*"]}}]`;
const NONE = 'access: []';

test.beforeEach(async (t) => {
  let gateway: AuthzGateway | undefined;
  const policyOf = (parts: string): Policy =>
    compilePolicy(
      `apiVersion: spark-gateway/v1alpha1\nkind: RoutingPolicy\nsource_networks: [{name: x, networks: [192.0.2.0/24]}]\n${parts}\n`,
      'policy.yaml',
      { ...options, furtherIssuers: gateway ? [gateway.issuer.policy()] : [] },
    );
  let inForce = policyOf(NONE);
  let candidate: Policy | undefined;
  gateway = await AuthzGateway.start({}, { policy: () => inForce, shadowPolicy: () => candidate });
  t.context = {
    gateway,
    use(text, shadow) {
      inForce = policyOf(text);
      candidate = shadow === undefined ? undefined : policyOf(shadow);
    },
  };
});
test.afterEach.always((t) => t.context.gateway.close());

/** What was logged of shadows. */
function reports({ logLines }: AuthzGateway): readonly Record<string, unknown>[] {
  return logLines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === 'a policy in shadow mode would decide otherwise');
}

test('a candidate with a smaller limit says which messages it would refuse', async (t) => {
  const { gateway, use } = t.context;
  use(OPEN, `${OPEN}\nlimits: [{message_size: 64KiB}]`);
  const body = sparkBody();
  body.writeUInt32BE(64 * 1024 + 1, 1);
  const { metadata } = allowed(await gateway.client.check({ token: await gateway.token(), body }));
  t.is(metadata['shadow'], 'refuse:MESSAGE_TOO_LARGE');
});

test('a stricter candidate refuses nobody, and says whom it would refuse and why, once', async (t) => {
  const { gateway, use } = t.context;
  use(OPEN, NONE);
  const token = await gateway.token();
  for (let i = 0; i < 2; i++) {
    const { metadata } = allowed(await gateway.client.check({ token }));
    t.is(metadata['shadow'], 'refuse:NAMESPACE_REFUSED');
  }
  const verdict = { source: 'policy', would: 'refuse', code: 'NAMESPACE_REFUSED' } as const;
  t.deepEqual(gateway.shadows, [verdict, verdict]);
  const logged = reports(gateway);
  t.is(logged.length, 1);
  t.like(logged[0], { ...verdict, principal: 'ann@example.com' });
  t.regex(String(logged[0]?.['reason']), /may not use team "data" in environment "prod"/);
});

test('a candidate that decides the same is counted and not logged', async (t) => {
  const { gateway, use } = t.context;
  use(OPEN, `${OPEN}\nwarm_namespaces: []`);
  const { metadata } = allowed(await gateway.client.check({ token: await gateway.token() }));
  t.is(metadata['shadow'], undefined);
  t.deepEqual(gateway.shadows, [{ source: 'policy', would: 'same', code: 'OK' }]);
  t.deepEqual(reports(gateway), []);
});

test('a candidate that would allow what is refused, or lead elsewhere, is told of', async (t) => {
  const { gateway, use } = t.context;
  const token = await gateway.token();
  use(NONE, OPEN);
  t.is(denied(await gateway.client.check({ token })).code, 'NAMESPACE_REFUSED');
  use(OPEN, `${OPEN}\ntargets: {namespace: "spark-{team}-{environment}"}`);
  allowed(await gateway.client.check({ token }));
  t.deepEqual(
    gateway.shadows.map(({ would }) => would),
    ['allow', 'move'],
  );
  t.is(reports(gateway)[1]?.['reason'], 'sjns-data-prod → spark-data-prod');
});

test('a candidate that takes other claims for groups sees the caller with those', async (t) => {
  const { gateway, use } = t.context;
  const rule = 'access: [{who: {groups: [eng]}, what: {teams: ["*"], environments: ["*"]}}]';
  const issuer = `issuers: [{issuer: "${gateway.issuer.url}", audiences: [any], groups_claim: dept}]`;
  use(OPEN, `${issuer}\n${rule}`);
  allowed(await gateway.client.check({ token: await gateway.token({ dept: ['eng'] }) }));
  allowed(await gateway.client.check({ token: await gateway.token({ dept: ['ops'] }) }));
  t.deepEqual(
    gateway.shadows.map(({ would }) => would),
    ['same', 'refuse'],
  );
});

test('single rules in shadow mode are reported and not enforced', async (t) => {
  const { gateway, use } = t.context;
  const token = await gateway.token({ email: 'other@example.com' });
  use(`${OPEN}\nuser_id: {claim: email, mode: shadow}`);
  const { metadata } = allowed(await gateway.client.check({ token }));
  t.is(metadata['shadow'], 'refuse:USER_ID_MISMATCH');
  use(
    'access: [{name: later, mode: shadow, who: {principals: ["*"]}, what: {teams: ["*"], environments: ["*"]}}]',
  );
  t.is(denied(await gateway.client.check({ token })).code, 'NAMESPACE_REFUSED');
  t.deepEqual(gateway.shadows, [
    { source: 'rule', would: 'refuse', code: 'USER_ID_MISMATCH' },
    { source: 'rule', would: 'allow', code: 'OK' },
  ]);
  t.deepEqual(
    reports(gateway).map(({ by }) => by),
    ['user_id', 'later'],
  );
});
