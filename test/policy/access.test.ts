import test from 'ava';
import { CERTIFICATE_ISSUER } from '../../src/model/principal.js';
import type { Caller } from '../../src/model/principal.js';
import type { Policy } from '../../src/model/policy.js';
import { caller, policyOf } from './support.js';

const policy = policyOf(`
services:
  - {name: airflow, uri_sans: ["spiffe://cluster/ns/airflow/sa/*"]}
access:
  - {who: {groups: [data-eng]}, what: {teams: [data], environments: [dev, prod]}}
  - {who: {groups: ["ml-*"]}, what: {teams: ["ml-*"], environments: ["*"]}}
  - {who: {principals: ["*@example.com"]}, what: {teams: ["\${team}"], environments: [dev]}}
  - {who: {principals: [root]}, what: {teams: ["*"], environments: ["*"]}}
  - {who: {services: [airflow]}, what: {teams: [batch], environments: [prod]}}
`);

function allowed(who: Caller, team: string, environment: string, by: Policy = policy): boolean {
  const target = { team, environment, namespace: `sjns-${team}-${environment}` };
  return by.refuseUse(who, target) === undefined;
}

const dana = caller('dana', { groups: ['other', 'data-eng'] });
const max = caller('max', { groups: ['ml-ops'] });
const eve = caller('eve@example.com', { claims: { team: 'web' } });
const two = caller('two@example.com', { claims: { team: ['web', 'app'] } });
const star = caller('star@example.com', { claims: { team: '*' } });
const airflow: Caller = {
  principal: { issuer: CERTIFICATE_ISSUER, subject: 'airflow' },
  groups: [],
  claims: {},
};

const cases: readonly (readonly [Caller, string, string, boolean])[] = [
  [dana, 'data', 'dev', true],
  [dana, 'data', 'prod', true],
  [dana, 'data', 'staging', false],
  [dana, 'ml-a', 'dev', false],
  [max, 'ml-a', 'staging', true],
  [max, 'data', 'dev', false],
  [eve, 'web', 'dev', true],
  [eve, 'web', 'prod', false],
  [eve, 'app', 'dev', false],
  [two, 'app', 'dev', true],
  [star, 'data', 'dev', false],
  [caller('nobody@other.com', { claims: { team: 'web' } }), 'web', 'dev', false],
  [caller('root'), 'anything', 'prod', true],
  [airflow, 'batch', 'prod', true],
  [airflow, 'batch', 'dev', false],
  // A token whose subject is the name of a service is not that service.
  [caller('airflow'), 'batch', 'prod', false],
];
for (const [who, team, environment, expected] of cases) {
  const { subject, issuer } = who.principal;
  test(`${subject} of ${issuer} ${expected ? 'may' : 'may not'} use ${team} in ${environment}`, (t) => {
    t.is(allowed(who, team, environment), expected);
  });
}

test('a service is not matched by principals: [*]', (t) => {
  const open = policyOf(`
services: [{name: airflow, subjects: [x]}]
access: [{who: {principals: ["*"]}, what: {teams: ["*"], environments: ["*"]}}]
`);
  t.true(allowed(dana, 'data', 'dev', open));
  t.false(allowed(airflow, 'data', 'dev', open));
});

test('issuers narrows a rule to the tokens of one issuer', (t) => {
  const narrow = policyOf(`
access:
  - who: {groups: [admins], principals: [root, "r*"], issuers: ["https://example.okta.com"]}
    what: {teams: [data], environments: [dev]}
`);
  const elsewhere = { issuer: 'https://other.example.com', subject: 'root' };
  t.true(allowed(caller('root'), 'data', 'dev', narrow));
  t.true(allowed(caller('x', { groups: ['admins'] }), 'data', 'dev', narrow));
  t.false(allowed({ ...caller('root'), principal: elsewhere }, 'data', 'dev', narrow));
  t.false(
    allowed(
      { groups: ['admins'], claims: {}, principal: { ...elsewhere, subject: 'x' } },
      'data',
      'dev',
      narrow,
    ),
  );
});

test('a refusal says what the caller may use, and the URL to use', (t) => {
  const target = { team: 'ml-a', environment: 'dev', namespace: 'sjns-ml-a-dev' };
  const error = policy.refuseUse(dana, target);
  t.is(error?.code, 'NAMESPACE_REFUSED');
  t.is(
    error?.message,
    '"dana" may not use team "ml-a" in environment "dev". You may use: team data in dev or prod. Connect with sc://<gateway>:15002/;token=<token>;x-doordash-team=data;x-doordash-environment=dev',
  );
  t.regex(
    policy.refuseUse(eve, target)?.message ?? '',
    /You may use: team web in dev\. Connect with .*x-doordash-team=web;/,
  );
  t.regex(
    policy.refuseUse(max, { ...target, team: 'data' })?.message ?? '',
    /team ml-\* in any\. Connect with .*x-doordash-team=<team>;x-doordash-environment=<environment>$/,
  );
});

test('a caller without any right is told whom to ask', (t) => {
  const target = { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };
  t.regex(policy.refuseUse(caller('mallory'), target)?.message ?? '', /no team at all: ask/);
});

test('a long list of rights is cut short', (t) => {
  const rules = Array.from(
    { length: 50 },
    (_, i) => `  - {who: {groups: [all]}, what: {teams: [team${i}], environments: [dev]}}`,
  );
  const many = policyOf(`access:\n${rules.join('\n')}\n`);
  const target = { team: 'x', environment: 'dev', namespace: 'sjns-x-dev' };
  const message = many.refuseUse(caller('a', { groups: ['all'] }), target)?.message ?? '';
  t.regex(message, /; and 44 more\./);
  t.true(message.length < 600);
});

for (const [what, claims] of Object.entries({
  'names them elsewhere': { _claim_names: { groups: 'src1' }, _claim_sources: {} },
  'only says that there are some': { hasgroups: true },
})) {
  test(`a token that ${what}, as its groups are too many, is told so in the refusal`, (t) => {
    const target = { team: 'ml-a', environment: 'dev', namespace: 'sjns-ml-a-dev' };
    const refused = policy.refuseUse(caller('frank', { claims }), target);
    t.regex(refused?.message ?? '', /names none of your groups.*too many for one token/);
    const named = policy.refuseUse(caller('frank', { claims: { ...claims, groups: [] } }), target);
    t.notRegex(named?.message ?? 'allowed', /too many/);
  });
}

function rule(patterns: readonly string[]): string {
  const groups = patterns.map((pattern) => JSON.stringify(pattern)).join();
  return `access: [{who: {groups: [${groups}]}, what: {teams: [a], environments: [b]}}]`;
}

test('patterns with which every caller would have to be compared are few', (t) => {
  const inner = Array.from({ length: 1_001 }, (_, i) => `*${i}*`);
  t.throws(() => policyOf(rule(inner)), { message: /more than 1000 patterns .* two "\*"/ });
  t.notThrows(() => policyOf(rule(inner.slice(1))));
  t.notThrows(() => policyOf(rule(inner.map((pattern) => pattern.slice(0, -1)))));
});

test('a rule of tens of thousands of names is refused, with what to do', (t) => {
  const names = Array.from({ length: 20_001 }, (_, i) => `g${i}`).join();
  t.throws(
    () => policyOf(`access: [{who: {groups: [${names}]}, what: {teams: [a], environments: [b]}}]`),
    { message: /more than 20000 names in one rule: make several/ },
  );
});
