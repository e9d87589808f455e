import test from 'ava';
import { readCases, tryCase } from '../../src/policy/cases.js';
import { policyOf } from './support.js';

const policy = policyOf(`
targets: {team_claim: team}
access:
  - {name: people, who: {groups: [data-eng]}, what: {teams: [data], environments: [dev]}}
  - {who: {principals: ["*"]}, what: {teams: ["\${team}"], environments: [dev]}, when: caller.claims.level > 2}
config_rules: [{keys: [spark.secret]}]
`);

test('a case passes when it comes out as expected, in the namespace that it names', (t) => {
  const cases = readCases(
    `cases:
  - {principal: dana, groups: [data-eng], team: data, environment: dev, expect: allowed}
  - {principal: dana, groups: [data-eng], team: data, environment: dev, expect: allowed, namespace: sjns-data-dev}
  - {principal: web, claims: {team: web, level: 3}, environment: dev, expect: allowed}
  - {name: too low, principal: web, claims: {team: web, level: 2}, environment: dev, expect: allowed}
  - {principal: dana, groups: [data-eng], team: data, environment: prod, expect: NAMESPACE_REFUSED}
  - {principal: dana, groups: [data-eng], team: data, environment: dev, config: {reads: [spark.secret]}, expect: CONFIG_REFUSED}
  - {principal: dana, groups: [data-eng], team: data, environment: dev, expect: allowed, namespace: sjns-x-dev}
`,
    'cases.yaml',
  );
  const results = cases.map((entry) => tryCase(policy, entry));
  t.deepEqual(
    results.filter(({ passed }) => !passed).map(({ line, name, got }) => `${line} ${name}: ${got}`),
    ['5 too low: NAMESPACE_REFUSED', '8 dana as data in dev: allowed in sjns-data-dev'],
  );
});

test('mistakes in the table are told with their lines', (t) => {
  const error = t.throws(() =>
    readCases(
      'cases:\n  - {team: a, expect: alowed}\n  - {principal: a, service: b, expect: allowed}\n',
      'c.yaml',
    ),
  );
  t.deepEqual(error?.message.split('\n'), [
    'c.yaml:2:23: "alowed" is not allowed, or the code of a refusal such as NAMESPACE_REFUSED',
    'c.yaml:3:5: a case needs either principal or service',
  ]);
});

const withJobs = policyOf(`
services: [{ name: airflow, dns_sans: [airflow] }]
batch:
  speak_for: [{ services: [airflow], users: ['*@example.com'], groups: [data-eng] }]
  submit: [{ who: { groups: [data-eng] }, what: { teams: [data], environments: [dev] } }]
  limits: [{ deadline: 10m, largest: { driver: { cores: 2 } } }]
`);

test('a case with a job is a batch job that a service submits for somebody or for itself', (t) => {
  const job =
    'service: airflow, principal: ann@example.com, groups: [data-eng], team: data, environment: dev';
  const cases = readCases(
    `cases:
  - {${job}, job: {}, expect: allowed, namespace: sjns-data-dev}
  - {${job}, job: {ttl_seconds: 600, sandbox_mode: true, engine: "4.1"}, expect: allowed}
  - {name: too long, ${job}, job: {ttl_seconds: 601}, expect: allowed}
  - {name: too large, ${job}, job: {resources: {driver: {cores: 3}}}, expect: allowed}
  - {name: itself, service: airflow, team: data, environment: dev, job: {}, expect: allowed}
  - {name: other, service: airflow, principal: x, team: data, environment: dev, job: {}, expect: BATCH_REFUSED}
`,
    'cases.yaml',
  );
  const results = cases.map((entry) => tryCase(withJobs, entry));
  t.deepEqual(
    results.filter(({ passed }) => !passed).map(({ name, got }) => `${name}: ${got}`),
    ['too long: BATCH_REFUSED', 'too large: BATCH_REFUSED', 'itself: BATCH_REFUSED'],
  );
});

test('mistakes in a job are told with their lines', (t) => {
  const error = t.throws(() =>
    readCases('cases:\n  - {principal: a, job: {ttl_second: 5}, expect: allowed}\n', 'c.yaml'),
  );
  t.regex(error?.message ?? '', /"ttl_second" is no field of a job; did you mean "ttl_seconds"/);
  t.regex(error?.message ?? '', /a case with a job needs service/);
});
