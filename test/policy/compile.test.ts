import test from 'ava';
import { readFile } from 'node:fs/promises';
import { policyDocument } from '../../src/policy/document.js';
import { HEAD, ISSUER, mistakesIn, options, policyOf } from './support.js';

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
