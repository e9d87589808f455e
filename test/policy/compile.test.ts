import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import type { JsonSchema } from '../../src/lib/yaml/json-schema.js';
import type { ConfigRequest } from '../../src/model/policy.js';
import { policyDocument } from '../../src/policy/document.js';
import {
  policyCrd,
  policySchema,
  renderPolicyCrd,
  renderPolicySchema,
} from '../../src/policy/sources/policy-resource-schema.js';
import { tries } from '../support/tries.js';
import { arbitraryPolicy } from './arbitrary.js';
import { caller, HEAD, ISSUER, mistakesIn, options, policyOf } from './support.js';

// Documents.

test('every mistake is reported, with its line, what is wrong and what is allowed', (t) => {
  const text = `apiVersion: spark-gateway/v1
kind: RoutingPolicy
issuers:
  - issuer: http://example.okta.com
  - issuer: https://a.example.com
    algorithms: [HS256, none]
    audience: [api]
services:
  - name: airflow
access:
  - who: {groups: [a], services: [airflw]}
    what: {teams: [Data], environments: [dv]}
  - who: {}
    what: {teams: [data]}
targets:
  environments: [dev, prod]
  namespace: sjns-{team}{environment}
pools:
  - {size: 5, maximum: 3}
  - match: {team: data}
    after_use: keep
quotas: 5
`;
  t.deepEqual(mistakesIn(text), [
    'policy.yaml:1:13: "spark-gateway/v1" is not spark-gateway/v1alpha1',
    'policy.yaml:4:5: an issuer needs audiences or client_ids: else tokens made for any other application would be accepted',
    'policy.yaml:4:13: "http://example.okta.com" is not a URL that starts with https://, or http:// for a loopback address',
    'policy.yaml:5:5: an issuer needs audiences or client_ids: else tokens made for any other application would be accepted',
    'policy.yaml:6:18: "HS256" is not RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA; did you mean "RS256"?',
    'policy.yaml:6:25: "none" is not RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA',
    'policy.yaml:7:5: "audience" is no field of an issuer; did you mean "audiences"?',
    'policy.yaml:9:5: a service needs uri_sans, dns_sans or subjects',
    'policy.yaml:11:24: "airflw" is no service or source network of this policy; did you mean "airflow"?',
    'policy.yaml:12:20: "Data" is not lower-case letters, digits and "-", in which * stands for any text; or ${claim}, for the team that this claim of the token names',
    'policy.yaml:12:27: "dv" is none of targets.environments; did you mean "dev"?; allowed: dev, prod',
    'policy.yaml:13:10: who needs groups, principals or services; principals: ["*"] is everyone with a token',
    'policy.yaml:14:11: what needs "environments": a list of at least 1, each lower-case letters, digits and "-", in which * stands for any text',
    'policy.yaml:17:3: a namespace template holds {team} and {environment} once each, with lower-case letters, digits and "-" around and between them, such as sjns-{team}-{environment}',
    'policy.yaml:19:6: size (5) must not exceed maximum (3)',
    'policy.yaml:20:13: "team" is no field of match; did you mean "teams"?',
    'policy.yaml:21:16: "keep" is not replace or reuse',
    'policy.yaml:22:9: "5" is not a list, each a quota with match, sessions_per_principal, sessions_per_team, sessions_per_namespace',
  ]);
});

const asAWhole: readonly (readonly [string, string])[] = [
  [
    'issuers: [{issuer: "https://a.example.com"}]\naccess: []',
    '3:11: an issuer needs audiences or client_ids',
  ],
  [
    'issuers: [{issuer: "https://a.com", audiences: [a]}, {issuer: "https://a.com", audiences: [b]}]\naccess: []',
    '3:55: issuer https://a.com is given twice',
  ],
  [
    'issuers: [{issuer: "https://a.com", audiences: [a], jwks_uri: "https://a.com/k", discovery_url: "https://a.com/d"}]\naccess: []',
    '3:53: give discovery_url or jwks_uri, not both',
  ],
  ['access: []', '3:1: nobody could use this gateway'],
  [
    'services: [{name: airflow}]\naccess: []',
    '3:12: a service needs uri_sans, dns_sans or subjects',
  ],
];
for (const [rest, expected] of asAWhole) {
  test(`refused as a whole: ${expected}`, (t) => {
    const [first, ...others] = mistakesIn(
      `apiVersion: spark-gateway/v1alpha1\nkind: RoutingPolicy\n${rest}\n`,
    );
    t.deepEqual(others, []);
    // The first thing that is wrong with a document of three lines may be the document itself.
    t.true(
      first?.startsWith(`policy.yaml:${expected.replace(/^3:1: nobody/, '1:1: nobody')}`),
      first,
    );
  });
}

const withIssuer: readonly (readonly [string, RegExp])[] = [
  [
    'access: [{who: {services: [airflw]}, what: {teams: [a], environments: [b]}}]\nservices: [{name: airflow, subjects: [a]}]',
    /^policy.yaml:4:17: "airflw" is no service or source network of this policy; did you mean "airflow"\?$/,
  ],
  [
    'access: [{who: {groups: [a], issuers: ["https://other.com"]}, what: {teams: [a], environments: [b]}}]',
    /https:\/\/other.com is no issuer of this policy; there are https:\/\/example.okta.com$/,
  ],
  [
    'access: [{who: {}, what: {teams: [a], environments: [b]}}]',
    /^policy.yaml:4:16: who needs groups, principals or services/,
  ],
  [
    'access: [{who: {groups: [a]}, what: {teams: [a], environments: [dv]}}]\ntargets: {environments: [dev, prod]}',
    /"dv" is none of targets.environments; did you mean "dev"\?; allowed: dev, prod$/,
  ],
  [
    'targets: {namespace: "sjns-{team}"}\naccess: []',
    /^policy.yaml:4:11: a namespace template holds/,
  ],
  ['targets: {namespace: "sjns-{team}x{environment}"}\naccess: []', /needs "-" right before/],
  [
    'targets: {environments: [dev, x-dev]}\naccess: []',
    /^policy.yaml:4:11: environments x-dev and dev make sjns-\{team\}-\{environment\} ambiguous/,
  ],
  [
    'pools: [{size: 5, maximum: 3}]\naccess: []',
    /^policy.yaml:4:10: size \(5\) must not exceed maximum \(3\)/,
  ],
  [
    'pools: [{match: {teams: [data]}}]\nwarm_namespaces: [sjns-ml-dev]\naccess: []',
    /^policy.yaml:5:1: no entry of pools is for sjns-ml-dev/,
  ],
  [
    'source_networks: [{name: etl, networks: [10.0.0.0/33]}]\naccess: []',
    /"10.0.0.0\/33" is not a network/,
  ],
  [
    'source_networks: [{name: a, networks: [10.0.0.0/8]}]\nservices: [{name: a, subjects: [x]}]\naccess: []',
    /name a is given twice/,
  ],
  [
    'targets: {environment_by_host: {dev.example.com: us-dev}}\naccess: []',
    /environment "us-dev" is not allowed: use lower-case letters and digits/,
  ],
];
for (const [rest, expected] of withIssuer) {
  test(`refused: ${expected.source}`, (t) => {
    const found = mistakesIn(`${HEAD}${rest}\n`);
    t.is(found.length, 1, found.join('\n'));
    t.regex(found[0] ?? '', expected);
  });
}

test('an issuer has safe defaults', (t) => {
  t.deepEqual(policyOf('').issuers, [
    {
      issuer: ISSUER,
      audiences: ['api'],
      clientIds: [],
      algorithms: ['RS256'],
      groupsClaim: 'groups',
      principalClaim: 'sub',
      clockSkewMs: 60_000,
    },
  ]);
});

test("an issuer from the settings is added, unless the policy's own has its name", (t) => {
  const [own] = policyOf('').issuers;
  t.truthy(own);
  if (!own) return;
  const other = { ...own, issuer: 'https://other.example.com' };
  const policy = policyOf('', { furtherIssuers: [{ ...own, audiences: ['else'] }, other] });
  t.deepEqual(policy.issuers, [own, other]);
});

test('the version follows the content and the settings that decisions depend on', (t) => {
  const { version } = policyOf('user_id: {claim: email}');
  t.is(policyOf('user_id: {claim: email}').version, version);
  t.not(policyOf('user_id: {claim: sub}').version, version);
  t.not(
    policyOf('user_id: {claim: email}', {
      poolDefaults: { ...options.poolDefaults, size: 3 },
    }).version,
    version,
  );
});

test('the documented policy is good and shows every field', async (t) => {
  const text = await readFile('docs/policy.yaml', 'utf8');
  t.deepEqual(mistakesIn(text), []);
  const fields = policyDocument.allowed.replace(/^.* with /, '').split(', ');
  for (const field of fields) t.regex(text, new RegExp(`^${field}:`, 'm'));
});

// The schema.

const validate = new Ajv2020({ allErrors: true, strictTypes: false }).compile(
  policySchema('draft-2020-12'),
);

/** What the schema says of a policy's text, as a person would find it: the place and the rule. */
function complaints(text: string): readonly string[] {
  if (validate(parse(text))) return [];
  return (validate.errors ?? []).map(({ instancePath, keyword }) => `${instancePath} ${keyword}`);
}

test('the published schema is what the command prints', async (t) => {
  t.is(await readFile('docs/routing-policy.schema.json', 'utf8'), renderPolicySchema());
});

for (const file of ['docs/policy.yaml', 'config/development/policy.yaml']) {
  test(`${file} is valid`, async (t) => {
    t.deepEqual(complaints(await readFile(file, 'utf8')), []);
  });
}

test('a policy that the gateway takes is valid', (t) => {
  fc.assert(
    fc.property(arbitraryPolicy, (rest) => {
      const text = `${HEAD}${rest}`;
      fc.pre(mistakesIn(text).length === 0);
      t.deepEqual(complaints(text), []);
    }),
    { numRuns: tries(100) },
  );
});

const mistakes: readonly (readonly [string, ...string[]])[] = [
  ['acces: []', ' required', ' additionalProperties'],
  ['access: [{who: {groups: [a]}}]', '/access/0 required'],
  ['access: 5', '/access type'],
  ['access: [{who: {}, what: {teams: [a], environments: [b]}}]', '/access/0/who anyOf'],
  [
    'access: [{who: {groups: [a]}, what: {teams: [A], environments: []}}]',
    '/access/0/what/teams/0 pattern',
    '/access/0/what/environments minItems',
  ],
  ['access: []\npools: [{size: many}]', '/pools/0/size type'],
  ['access: []\npools: [{size: 5000}]', '/pools/0/size maximum'],
  ['access: []\npools: [{idle_ttl: 5}]', '/pools/0/idle_ttl type'],
  ['access: []\npools: [{start_timeout: 5 minutes}]', '/pools/0/start_timeout pattern'],
  ['access: []\npools: [{after_use: keep}]', '/pools/0/after_use enum'],
  ['access: []\nuser_id: {claim: email, ignore_domain: maybe}', '/user_id/ignore_domain type'],
  [
    'access: []\ntargets: {environment_by_host: {"a b": dev}}',
    '/targets/environment_by_host propertyNames',
  ],
  ['access: []\nservices: [{name: a}]', '/services/0 anyOf'],
];
for (const [rest, ...expected] of mistakes) {
  test(`refused: ${rest.replaceAll('\n', ' ')}`, (t) => {
    t.not(mistakesIn(`${HEAD}${rest}\n`).length, 0);
    const found = complaints(`${HEAD}${rest}\n`);
    for (const complaint of expected) t.true(found.includes(complaint), found.join('; '));
  });
}

test('each pattern of the resource is one that an API server takes: RE2, which counts up to 1000', (t) => {
  const patterns = JSON.stringify(policyCrd()).match(/"pattern":"(?:[^"\\]|\\.)*"/g) ?? [];
  t.true(patterns.length > 5);
  for (const pattern of patterns) {
    for (const [, most = ''] of pattern.matchAll(/\{(?:\d+,)?(\d+)\}/g)) {
      t.true(Number(most) <= 1000, pattern);
    }
    t.notRegex(pattern, /\(\?<?[=!]|\\\\[1-9]/);
  }
});

test('each field of the schema says what it is for or what is allowed', (t) => {
  const visit = (schema: JsonSchema, path: string): void => {
    for (const [name, part] of Object.entries((schema['properties'] ?? {}) as JsonSchema)) {
      const field = part as JsonSchema;
      t.true('description' in field || 'enum' in field, `${path}.${name}`);
      visit(field, `${path}.${name}`);
    }
    if ('items' in schema) visit(schema['items'] as JsonSchema, path);
  };
  visit(policySchema('draft-2020-12'), '');
});

test('a value that a person may leave out has its default, as it would be written', (t) => {
  const text = JSON.stringify(policySchema('draft-2020-12'));
  t.regex(text, /"pattern":"\\\\S","default":"sjns-\{team\}-\{environment\}"/);
  t.regex(text, /"minimum":1,"maximum":100,"default":1/);
  t.notRegex(text, /"default":60000/);
});

test('for the API server it is structural: nothing that is closed, no defaults, no $schema', (t) => {
  const text = JSON.stringify(policySchema('kubernetes'));
  t.notRegex(text, /"additionalProperties":false|"default"|\$schema|propertyNames/);
});

test('the published CustomResourceDefinition is what the command prints', async (t) => {
  t.deepEqual(parse(await readFile('k8s/crd/routingpolicies.yaml', 'utf8')), policyCrd());
  t.deepEqual(parse(renderPolicyCrd()), policyCrd());
});

// Rules for configuration.

const policy = policyOf(`
config_rules:
  - keys: ['spark.hadoop.fs.s3a.*', spark.secret]
    match: {environments: [prod]}
    except: [{groups: [sre]}]
  - {keys: [spark.read.only], refuse: [set], when_unseen: allow}
`);
const dana = caller('dana');
const sam = caller('sam', { groups: ['sre'] });

function code(config: Partial<ConfigRequest>, environment = 'prod', who = dana) {
  const target = { team: 'data', environment, namespace: `sjns-data-${environment}` };
  const request = { reads: [], writes: [], lists: [], whole: true, ...config };
  return policy.refuseConfig(who, target, request);
}

const allowed: readonly (readonly [string, Partial<ConfigRequest>])[] = [
  ['another setting', { reads: ['spark.sql.shuffle.partitions'], writes: ['spark.a'] }],
  ['reading what only must not be set', { reads: ['spark.read.only'], lists: ['spark.read'] }],
  ['listing what begins otherwise', { lists: ['spark.sql', 'spark.secrets'] }],
];
for (const [title, config] of allowed) {
  test(`allowed: ${title}`, (t) => {
    t.is(code(config), undefined);
  });
}

const refused: readonly (readonly [string, Partial<ConfigRequest>, RegExp])[] = [
  [
    'reading by name',
    { reads: ['spark.a', 'spark.hadoop.fs.s3a.secret.key'] },
    /^The policy keeps the setting "spark\.hadoop\.fs\.s3a\.secret\.key" from being read\. Leave it out, /,
  ],
  ['setting', { writes: ['spark.secret'] }, /"spark\.secret" from being set\./],
  ['setting what is only to be read', { writes: ['spark.read.only'] }, /from being set\./],
  [
    'listing all',
    { lists: [''] },
    /would list settings .* \(spark\.hadoop\.fs\.s3a\.\*, spark\.secret\)/,
  ],
  ['listing a part of a pattern', { lists: ['spark.hadoop'] }, /would list/],
  ['listing within a pattern', { lists: ['spark.hadoop.fs.s3a.bucket'] }, /would list/],
  ['listing by the beginning of a name', { lists: ['spark.sec'] }, /would list/],
  ['what is longer than can be seen', { whole: false }, /is longer than the gateway reads/],
];
for (const [title, config, message] of refused) {
  test(`refused: ${title}`, (t) => {
    t.is(code(config)?.code, 'CONFIG_REFUSED');
    t.regex(code(config)?.message ?? '', message);
  });
}

test('a rule is for the namespaces that it matches, and not for those whom it excepts', (t) => {
  t.is(code({ reads: ['spark.secret'] }, 'dev'), undefined);
  t.is(code({ reads: ['spark.secret'] }, 'prod', sam), undefined);
  t.is(code({ whole: false }, 'prod', sam), undefined);
});

test('an explanation tells of it', (t) => {
  const open = policyOf(`
access: [{who: {principals: ["*"]}, what: {teams: ["*"], environments: ["*"]}}]
config_rules: [{keys: [spark.secret]}]
`);
  const asked = { caller: dana, team: 'data', environment: 'dev' };
  t.is(
    open.explain({ ...asked, config: { reads: ['spark.secret'] } }).refusal?.code,
    'CONFIG_REFUSED',
  );
  t.true(open.explain(asked).allowed);
  t.true(open.explain({ ...asked, config: { reads: ['spark.a'] } }).allowed);
});

test('mistakes are told', (t) => {
  t.deepEqual(
    mistakesIn(
      `${HEAD}access: []\nconfig_rules: [{keys: ["a b"], refuse: [list], except: [{services: [x]}]}]\n`,
    ),
    [
      `policy.yaml:5:24: "a b" is not a Spark setting's name, in which * stands for any text`,
      'policy.yaml:5:41: "list" is not get or set',
      'policy.yaml:5:58: "x" is no service or source network of this policy',
    ],
  );
});
