import { readFile } from 'node:fs/promises';
import test from 'ava';
import * as fc from 'fast-check';
import { authorize, type RequestFacts } from '../../src/authz/decision.js';
import { sparkMethod } from '../../src/authz/request.js';
import { findPerson, issuerUrl } from '../../src/issuer/tokens.js';
import { describedCaller } from '../../src/model/administration.js';
import { GatewayError } from '../../src/model/errors.js';
import type { ExplainRequest, Explanation, Policy } from '../../src/model/policy.js';
import { type Caller, CERTIFICATE_ISSUER } from '../../src/model/principal.js';
import { namespaceWithoutPool } from '../../src/model/refusals.js';
import { readCases, tryCase } from '../../src/policy/cases.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { loadSettings } from '../../src/settings/compile-settings.js';
import { policyOptions } from '../../src/settings/policy-options.js';
import { arbitraryCaller, arbitraryPolicy } from './arbitrary.js';
import { caller, policyOf } from './support.js';
import { tries } from '../support/tries.js';

const settings = await loadSettings({
  file: 'config/development/gateway.yaml',
  env: {},
  overrides: [],
  cwd: process.cwd(),
});

const development = compilePolicy(
  await readFile(settings.policyFile, 'utf8'),
  settings.policyFile,
  policyOptions(settings),
);

// Explanations.

const policy = policyOf(`
services: [{name: airflow, uri_sans: ["spiffe://x/y"]}]
targets: {team_claim: team, environment_by_host: {spark-dev.example.com: dev}}
user_id: {claim: email}
access:
  - {name: engineers, who: {groups: ["data-*"]}, what: {teams: [data], environments: [dev, prod]}}
  - {who: {principals: ["*"]}, what: {teams: ["\${team}"], environments: [dev]}}
  - {who: {services: [airflow]}, what: {teams: [batch], environments: [prod]}}
administration: {read: [{groups: [data-eng]}]}
pools: [{match: {environments: [dev]}, size: 1, maximum: 2}]
quotas: [{sessions_per_principal: 3}]
limits: [{queries_per_session: 2}]
`);

const dana = caller('dana', {
  groups: ['x', 'data-eng'],
  claims: { email: 'dana@example.com', team: 'web' },
});

function stepsOf(explanation: Explanation): readonly string[] {
  return explanation.steps.map(({ step, outcome, reason }) => `${step} ${outcome}: ${reason}`);
}

test('a request that is allowed: each step with its reason, each rule with what matched', (t) => {
  const explanation = policy.explain({ caller: dana, team: 'data', environment: 'dev' });
  t.true(explanation.allowed);
  t.is(explanation.policyVersion, policy.version);
  t.deepEqual(stepsOf(explanation), [
    'caller passed: a token of https://example.okta.com names "dana"',
    'target passed: team "data" by its header, environment "dev" by its header',
    'access passed: rule 1 (engineers) allows it',
    'user_id passed: taken to be the caller, as none was given',
    'config passed: no request of the Config RPC',
    'pool passed: sjns-data-dev has a pool',
  ]);
  t.deepEqual(explanation.rules, [
    {
      number: 1,
      name: 'engineers',
      line: 9,
      allows: true,
      forCaller: true,
      reason: 'for group "data-eng"',
    },
    {
      number: 2,
      line: 10,
      allows: false,
      forCaller: true,
      reason: 'for principal "dana", but not for team "data"',
    },
    { number: 3, line: 11, allows: false, forCaller: false, reason: 'not for this caller' },
  ]);
  t.like(explanation.pool, { size: 1, maximum: 2 });
  t.is(explanation.quotas?.sessionsPerPrincipal, 3);
  t.is(explanation.limits?.queriesPerSession, 2);
  t.is(explanation.administration, 'read');
});

test('team and environment may come from a claim and the host', (t) => {
  const explanation = policy.explain({ caller: dana, host: 'spark-dev.example.com' });
  t.deepEqual(explanation.target, {
    team: 'web',
    environment: 'dev',
    namespace: 'sjns-web-dev',
  });
  t.regex(stepsOf(explanation)[1] ?? '', /"web" by a claim of the token, .* "dev" by the host/);
});

test('a caller may be described in the words of people', (t) => {
  t.deepEqual(
    describedCaller({ principal: 'dana', groups: ['data-eng'], claims: { team: 'web' } }, policy),
    caller('dana', {
      groups: ['data-eng'],
      claims: { sub: 'dana', groups: ['data-eng'], team: 'web' },
    }),
  );
  t.deepEqual(describedCaller({ service: 'airflow' }, policy), airflow);
  t.is(
    describedCaller({ principal: 'x', issuer: 'https://other' }, policy).principal.issuer,
    'https://other',
  );
});

const airflow: Caller = {
  principal: { issuer: CERTIFICATE_ISSUER, subject: 'airflow' },
  groups: [],
  claims: {},
};
const refused: readonly (readonly [string, ExplainRequest, string])[] = [
  [
    'caller: TOKEN_ISSUER_UNKNOWN',
    { caller: { ...dana, principal: { issuer: 'https://evil.example.com', subject: 'dana' } } },
    'Your token is of issuer "https://evil.example.com"; accepted: https://example.okta.com.',
  ],
  [
    'caller: TOKEN_MISSING',
    { caller: { ...airflow, principal: { issuer: CERTIFICATE_ISSUER, subject: 'x' } } },
    'Your request has no token. Put one in the URL: sc://<host>:15002/;token=<token>.',
  ],
  [
    'target: ENVIRONMENT_MISSING',
    { caller: dana, team: 'data' },
    'The request names no environment: header x-doordash-environment is missing. Connect with sc://<gateway>:15002/;token=<token>;x-doordash-team=data;x-doordash-environment=<environment>',
  ],
  [
    'access: NAMESPACE_REFUSED',
    { caller: airflow, team: 'batch', environment: 'dev' },
    '"airflow" may not use team "batch" in environment "dev". You may use: team batch in prod. Connect with sc://<gateway>:15002/;token=<token>;x-doordash-team=batch;x-doordash-environment=prod',
  ],
  [
    'user_id: USER_ID_MISMATCH',
    { caller: dana, team: 'data', environment: 'dev', userId: 'bob' },
    'user_id "bob" is not yours: put ;user_id=dana@example.com into the sc:// URL.',
  ],
  [
    'pool: NAMESPACE_REFUSED',
    { caller: dana, team: 'data', environment: 'prod' },
    'No pool of Spark drivers is set up for sjns-data-prod. Check the team and environment, or ask the platform team for a pool.',
  ],
];
for (const [title, request, message] of refused) {
  test(`a refusal is shown as the client gets it, ${title}`, (t) => {
    const explanation = policy.explain(request);
    t.false(explanation.allowed);
    const step = explanation.steps.find(({ outcome }) => outcome === 'refused');
    t.is(`${step?.step}: ${explanation.refusal?.code}`, title);
    t.is(explanation.refusal?.message, message);
    t.like(explanation, JSON.parse(JSON.stringify(explanation)));
  });
}

const noConfig = { reads: [], writes: [], lists: [], whole: true };

/** What authz decides, and the assignment that comes after it. */
function decided(by: Policy, request: ExplainRequest): string {
  const method = sparkMethod('/spark.connect.SparkConnectService/Config');
  if (!method) throw new TypeError('there is no Config');
  const headers = new Map<string, string>();
  if (request.team !== undefined) headers.set('x-doordash-team', request.team);
  if (request.environment !== undefined) headers.set('x-doordash-environment', request.environment);
  const facts: RequestFacts = {
    method,
    request: {
      sessionId: '00000000-0000-4000-8000-000000000000',
      userId: request.userId ?? '',
      newSessionId: undefined,
      allowReconnect: false,
      messageBytes: 100,
    },
    token: undefined,
    peer: undefined,
    sourceAddress: '',
    host: request.host ?? '',
    headers,
    claimedUser: '',
    ...(request.config && { config: { ...noConfig, ...request.config } }),
  };
  try {
    const { namespace } = authorize(facts, request.caller, by);
    return by.pool(namespace) ? 'allowed' : namespaceWithoutPool(namespace).message;
  } catch (error) {
    if (error instanceof GatewayError) return error.message;
    throw error;
  }
}

test('an explanation says of any request what authz decides', (t) => {
  const request = fc.record({
    caller: arbitraryCaller,
    team: fc.option(fc.constantFrom('data', 'ml-a', 'web', 'Data', ''), { nil: undefined }),
    environment: fc.option(fc.constantFrom('dev', 'prod', 'x-dev'), { nil: undefined }),
    host: fc.constantFrom('dev.example.com', 'other.example.com'),
    userId: fc.constantFrom('', 'a', 'b@example.com'),
    config: fc.constantFrom(
      undefined,
      { reads: ['spark.secret'] },
      { lists: [''] },
      { whole: false },
    ),
  });
  fc.assert(
    fc.property(arbitraryPolicy, fc.array(request, { minLength: 1, maxLength: 5 }), (text, all) => {
      const by = policyOf(text);
      for (const asked of all) {
        const explanation = by.explain(asked);
        // Who is no caller of this policy never comes to what is compared here.
        if (explanation.steps[0]?.outcome === 'refused') continue;
        t.is(explanation.refusal?.message ?? 'allowed', decided(by, asked));
        t.is(explanation.allowed, explanation.refusal === undefined);
        const access = explanation.steps.find(({ step }) => step === 'access');
        if (access?.outcome !== 'not reached') {
          t.is(
            access?.outcome === 'passed',
            explanation.rules.some(({ allows }) => allows),
          );
        }
      }
    }),
    { numRuns: tries(100) },
  );
});

// Cases with an expected outcome.

const tried = policyOf(`
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
  const results = cases.map((entry) => tryCase(tried, entry));
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

// The policy of a developer's machine.

function person(user: string): Caller {
  const found = findPerson(user);
  if (!found) throw new TypeError(`there is no ${user}`);
  const { subject, groups, team } = found;
  const issuer = development.issuers[0]?.issuer ?? '';
  return { principal: { issuer, subject }, groups, claims: team === undefined ? {} : { team } };
}

const alice = person('alice');
const carol = person('carol');
const nightly = person('nightly-reports');

const cases: readonly (readonly [Caller, string, string, boolean])[] = [
  [alice, 'data', 'dev', true],
  [alice, 'data', 'staging', true],
  [alice, 'data', 'prod', false],
  [alice, 'ml', 'dev', false],
  [carol, 'ml', 'dev', true],
  [carol, 'data', 'dev', false],
  [nightly, 'data', 'prod', true],
  [person('dave'), 'data', 'dev', false],
];
for (const [who, team, environment, allowed] of cases) {
  test(`development: ${who.principal.subject} ${allowed ? 'may' : 'may not'} use ${team} in ${environment}`, (t) => {
    const target = { team, environment, namespace: `sjns-${team}-${environment}` };
    t.is(development.refuseUse(who, target) === undefined, allowed);
  });
}

test('development: a small pool stands ready, and tokens of the development issuer are accepted', (t) => {
  t.deepEqual(development.warmNamespaces, ['sjns-data-dev']);
  t.like(development.pool('sjns-data-dev'), { size: 2, maximum: 4, sessionsPerDriver: 1 });
  t.like(development.issuers, [
    {
      issuer: issuerUrl(settings.issuer.listenAddr),
      audiences: [settings.issuer.audience],
      clientIds: [settings.issuer.clientId],
    },
  ]);
});
