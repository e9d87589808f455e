import test from 'ava';
import type { Policy } from '../../src/model/policy.js';
import { type Caller, CERTIFICATE_ISSUER } from '../../src/model/principal.js';
import { caller, HEAD, ISSUER, mistakesIn, policyOf } from './support.js';

// Teams and environments.

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

// Administration.

const administered = policyOf(`
services: [{name: watcher, subjects: [x]}]
administration:
  read:
    - {groups: [spark-users]}
    - {services: [watcher]}
  admin:
    - {groups: ["sre-*"], issuers: ["${ISSUER}"]}
    - {principals: [root@example.com]}
`);

const watcher: Caller = {
  principal: { issuer: CERTIFICATE_ISSUER, subject: 'watcher' },
  groups: [],
  claims: {},
};
const sreElsewhere: Caller = {
  principal: { issuer: 'https://other.example.com', subject: 'sam' },
  groups: ['sre-on-call'],
  claims: {},
};

const roles: readonly (readonly [string, Caller, 'none' | 'read' | 'admin'])[] = [
  ['a user', caller('uma', { groups: ['spark-users'] }), 'read'],
  ['an engineer on call', caller('sam', { groups: ['spark-users', 'sre-on-call'] }), 'admin'],
  ['a principal by name', caller('root@example.com'), 'admin'],
  ['a service', watcher, 'read'],
  ['a group of another issuer', sreElsewhere, 'none'],
  ['anybody else', caller('eve'), 'none'],
];
for (const [title, who, role] of roles) {
  test(`${title} has the role ${role}`, (t) => {
    t.is(administered.administration(who), role);
  });
}

test('without the part nobody has a role', (t) => {
  t.is(policyOf('').administration(caller('root@example.com')), 'none');
});

test('with several issuers a rule says whose tokens it is for', (t) => {
  const twoIssuers = HEAD.replace(
    'issuers: [',
    'issuers: [{issuer: "https://other.example.com", audiences: [api]}, ',
  );
  const rules = (who: string) =>
    mistakesIn(`${twoIssuers}access: []\nadministration: {admin: [${who}]}\n`);
  t.deepEqual(rules('{groups: [sre]}'), [
    `policy.yaml:5:26: with several issuers it must say whose tokens it is for: add issuers: [<one or more of https://other.example.com, ${ISSUER}>]`,
  ]);
  t.deepEqual(rules(`{groups: [sre], issuers: ["${ISSUER}"]}`), []);
});

test('mistakes are those of access rules', (t) => {
  t.deepEqual(
    mistakesIn(`${HEAD}access: []\nadministration: {read: [{}], admin: [{services: [x]}]}\n`),
    [
      'policy.yaml:5:25: who needs groups, principals or services; principals: ["*"] is everyone with a token',
      'policy.yaml:5:39: "x" is no service or source network of this policy',
    ],
  );
});

// Services, networks and users.

const withServices = policyOf(`
services:
  - {name: airflow, uri_sans: ["spiffe://cluster/ns/airflow/sa/*"]}
  - {name: reports, dns_sans: ["*.reports.example.com"], subjects: ["CN=reports,O=Example"]}
source_networks:
  - {name: etl, networks: [10.1.0.0/16, "fd00::/8"]}
  - {name: rest, networks: [10.0.0.0/8]}
`);

const certificates: readonly (readonly [string, string | undefined])[] = [
  ['spiffe://cluster/ns/airflow/sa/scheduler', 'airflow'],
  ['spiffe://cluster/ns/airflow/sa/a/b', undefined],
  ['spiffe://cluster/ns/evil/sa/airflow', undefined],
  ['spiffe://other/ns/airflow/sa/scheduler', undefined],
];
for (const [san, name] of certificates) {
  test(`${san} is ${name ?? 'nobody'}`, (t) => {
    const found = withServices.service({ uriSans: [san], dnsSans: [], subject: '' });
    t.is(found?.principal.subject, name);
  });
}

test('a certificate may be known by a DNS name or its subject', (t) => {
  const of = (dns: string, subject = ''): string | undefined =>
    withServices.service({ uriSans: [], dnsSans: [dns], subject })?.principal.subject;
  t.is(of('a.reports.example.com'), 'reports');
  t.is(of('a.b.reports.example.com'), undefined);
  t.is(of('x', 'CN=reports,O=Example'), 'reports');
  t.deepEqual(
    withServices.service({ uriSans: [], dnsSans: ['a.reports.example.com'], subject: '' }),
    {
      principal: { issuer: 'certificate', subject: 'reports' },
      groups: [],
      claims: {},
    },
  );
});

const addresses: readonly (readonly [string, string | undefined])[] = [
  ['10.1.2.3', 'etl'],
  ['::ffff:10.1.2.3', 'etl'],
  ['10.2.2.3', 'rest'],
  ['fd12::1', 'etl'],
  ['192.168.0.1', undefined],
  ['not an address', undefined],
];
for (const [address, name] of addresses) {
  test(`a request from ${address} is from ${name ?? 'nobody'}`, (t) => {
    t.is(withServices.sourceNetwork(address)?.principal.subject, name);
  });
}

test('source networks are off by default', (t) => {
  t.is(policyOf('').sourceNetwork('10.1.2.3'), undefined);
});

test('user_id is free unless the policy says otherwise', (t) => {
  t.is(policyOf('').refuseUserId(caller('alice'), 'root'), undefined);
});

test('user_id must be the claim where the policy asks for it', (t) => {
  const strict = policyOf('user_id: {claim: email}');
  const alice = caller('a1', { claims: { email: 'alice@example.com' } });
  t.is(strict.refuseUserId(alice, 'alice@example.com'), undefined);
  t.is(strict.refuseUserId(alice, 'bob@example.com')?.code, 'USER_ID_MISMATCH');
  t.is(strict.refuseUserId(alice, '')?.code, 'USER_ID_MISMATCH');
  t.is(strict.refuseUserId(caller('a1'), 'a1')?.code, 'USER_ID_MISMATCH');
  t.regex(
    strict.refuseUserId(alice, 'bob')?.message ?? '',
    /user_id "bob" is not yours: put ;user_id=alice@example.com into/,
  );
});

test('user_id may leave out the domain, and services act for people', (t) => {
  const loose = policyOf('user_id: {claim: email, ignore_domain: true}');
  const alice = caller('a1', { claims: { email: 'alice@example.com' } });
  t.is(loose.refuseUserId(alice, 'alice'), undefined);
  t.is(loose.refuseUserId(alice, 'bob')?.code, 'USER_ID_MISMATCH');
  const service = {
    principal: { issuer: 'certificate', subject: 'airflow' },
    groups: [],
    claims: {},
  };
  t.is(loose.refuseUserId(service, 'whoever'), undefined);
});
