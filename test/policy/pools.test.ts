import test from 'ava';
import { options, policyOf } from './support.js';

const policy = policyOf(`
pools:
  - match: {namespaces: [sjns-data-dev]}
    size: 2
    maximum: 4
    sessions_per_driver: 3
    sharing: team
    after_use: reuse
    idle_ttl: never
    start_timeout: 1m
  - {match: {teams: ["ml-*"], environments: [prod]}, size: 20}
  - {match: {environments: [prod]}, maximum: 5}
warm_namespaces: [sjns-data-dev, sjns-ml-a-prod]
quotas:
  - {match: {teams: [data]}, sessions_per_principal: 2, sessions_per_team: 10}
  - {sessions_per_namespace: 50}
`);

test('an entry says all of a pool', (t) => {
  t.deepEqual(policy.pool('sjns-data-dev'), {
    size: 2,
    maximum: 4,
    sessionsPerDriver: 3,
    sharing: 'team',
    afterUse: 'reuse',
    idleTtlMs: undefined,
    startTimeoutMs: 60_000,
  });
});

test('what an entry leaves out comes from the settings and safe defaults', (t) => {
  t.deepEqual(policy.pool('sjns-ml-a-prod'), {
    size: 20,
    maximum: 100,
    sessionsPerDriver: 1,
    sharing: 'principal',
    afterUse: 'replace',
    idleTtlMs: 30 * 60_000,
    startTimeoutMs: 300_000,
  });
  t.like(policy.pool('sjns-web-prod'), { size: 5, maximum: 5 });
});

test('a namespace that no entry is for has no pool, asked twice too', (t) => {
  t.is(policy.pool('sjns-web-dev'), undefined);
  t.is(policy.pool('sjns-web-dev'), undefined);
  t.is(policy.pool('kube-system'), undefined);
});

test('a policy without pools gives every namespace the default one', (t) => {
  t.like(policyOf('').pool('sjns-web-dev'), { size: 10, maximum: 100, sessionsPerDriver: 1 });
  const poolDefaults = { ...options.poolDefaults, size: 1 };
  t.like(policyOf('', { poolDefaults }).pool('anything'), { size: 1 });
});

test('warm namespaces and quotas', (t) => {
  t.deepEqual(policy.warmNamespaces, ['sjns-data-dev', 'sjns-ml-a-prod']);
  t.deepEqual(policy.quotas('sjns-data-dev'), {
    sessionsPerPrincipal: 2,
    sessionsPerTeam: 10,
    sessionsPerNamespace: undefined,
  });
  t.is(policy.quotas('sjns-web-dev').sessionsPerNamespace, 50);
  t.is(policyOf('').quotas('sjns-web-dev').sessionsPerNamespace, undefined);
});

test('the value is frozen', (t) => {
  t.true(Object.isFrozen(policy));
  t.true(Object.isFrozen(policy.pool('sjns-data-dev')));
  t.true(Object.isFrozen(policy.warmNamespaces));
  t.true(Object.isFrozen(policy.issuers[0]));
});
