import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import * as fc from 'fast-check';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import {
  policySchema,
  renderPolicySchema,
  policyCrd,
  renderPolicyCrd,
} from '../../src/policy/sources/policy-resource-schema.js';
import type { JsonSchema } from '../../src/lib/yaml/json-schema.js';
import { arbitraryPolicy } from './arbitrary.js';
import { HEAD, mistakesIn } from './support.js';

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
