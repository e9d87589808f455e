import test from 'ava';
import * as fc from 'fast-check';
import type { BatchIdentity, BatchSubmission } from '../../src/model/batch-policy.js';
import { refuseOverLimit } from '../../src/model/batch-policy.js';
import { GatewayError } from '../../src/model/errors.js';
import type { JobResources } from '../../src/model/job.js';
import { HEAD, mistakesIn, policyOf } from './support.js';

const POLICY = `
services:
  - { name: airflow, uri_sans: ['spiffe://example/airflow'] }
  - { name: playground, uri_sans: ['spiffe://example/playground'] }
batch:
  speak_for:
    - { services: [playground], users: ['*@example.com'], groups: ['data-*'] }
    - { services: [airflow], users: [etl@example.com], environments: [staging, prod] }
  submit:
    - name: people try things out
      who: { principals: ['*@example.com'] }
      what: { teams: ['*'], environments: [local, test] }
    - name: data engineers
      who: { groups: [data-eng] }
      what: { teams: [data, Data_Team], environments: [dev, staging] }
    - who: { services: [airflow], principals: [etl@example.com] }
      what: { teams: [data], environments: ['*'] }
  read:
    - who: { groups: [data-eng] }
      what: { teams: [data], environments: ['*'] }
    - who: { groups: [data-oncall] }
      what: { teams: [data], environments: ['*'] }
      cancel: true
  limits:
    - match: { environments: [local, test] }
      jobs_per_owner: 2
      deadline: 30m
      sandbox: required
      largest:
        driver: { cores: 2, memory: 4GiB }
        executor: { cores: 2, memory: 4GiB, instances: 4 }
    - match: { teams: [data] }
      jobs_per_team: 20
      jobs_per_namespace: 30
      engines:
        '3.5': { template: spark-3.5, image: registry.example.com/spark:3.5.8 }
`;
const batch = policyOf(POLICY).batch;
if (!batch) throw new TypeError('a policy has a part about batch jobs');

const resources: JobResources = {
  driver: { cores: 2, memory: '4g' },
  executor: { cores: 2, memory: '4g', instances: 2 },
  dynamicAllocation: { minExecutors: 1, maxExecutors: 4 },
};
const ann: BatchIdentity = {
  service: 'playground',
  user: 'ann@example.com',
  groups: ['data-eng', 'root'],
};

function submission(rest: Partial<BatchSubmission>): BatchSubmission {
  return {
    identity: ann,
    team: 'data',
    environment: 'dev',
    namespace: 'sjns-data-dev',
    engineVersion: '3.5',
    resources,
    sandbox: undefined,
    ttlSeconds: undefined,
    defaultTtlSeconds: 3600,
    ...rest,
  };
}

function decide(rest: Partial<BatchSubmission>) {
  return batch?.decideSubmit(submission(rest));
}

function refusal(rest: Partial<BatchSubmission>): GatewayError {
  const decided = decide(rest);
  if (decided instanceof GatewayError) return decided;
  throw new TypeError('it is allowed');
}

test('a user for whom a service may speak gets what the policy says, with believed groups only', (t) => {
  t.deepEqual(decide({}), {
    owner: 'ann@example.com',
    groups: ['data-eng'],
    sandbox: false,
    ttlSeconds: 3600,
    template: 'spark-3.5',
    image: 'registry.example.com/spark:3.5.8',
    limits: { jobsPerOwner: undefined, jobsPerTeam: 20, jobsPerNamespace: 30 },
  });
});

test('a service that acts for itself owns its jobs, and no user can be called so', (t) => {
  const identity = { service: 'airflow', user: '', groups: ['data-eng'] };
  t.like(decide({ identity, environment: 'prod' }), { owner: 'service:airflow', groups: [] });
  const impostor = { ...ann, user: 'service:airflow' };
  t.regex(refusal({ identity: impostor }).message, /may not act for "service:airflow"/);
});

const refused: readonly (readonly [string, Partial<BatchSubmission>, RegExp])[] = [
  [
    'a service that may not speak for the user',
    { identity: { ...ann, service: 'airflow' } },
    /The service "airflow" may not act for "ann@example.com" in environment "dev"/,
  ],
  [
    'a service that may speak for the user elsewhere',
    { identity: { service: 'airflow', user: 'etl@example.com', groups: [] } },
    /\(it may in staging, prod\)/,
  ],
  [
    'a service that may not speak for anybody',
    { identity: { ...ann, service: 'unknown' } },
    /may not act for/,
  ],
  [
    'a user with spaces in it',
    { identity: { ...ann, user: 'ann @example.com' } },
    /may not act for/,
  ],
  [
    'a group that is not believed',
    { identity: { ...ann, groups: ['root'] } },
    /"ann@example.com" may not submit jobs for team "data" in environment "dev"\. Allowed: team any in local or test\./,
  ],
  [
    'a service for itself where no rule is for it',
    { identity: { service: 'playground', user: '', groups: [] } },
    /The service "playground" may not submit .* no jobs at all/,
  ],
  [
    'an engine that is not offered',
    { engineVersion: '4.1' },
    /Spark 4\.1 is not offered .*; there are 3\.5/,
  ],
];
for (const [what, rest, message] of refused) {
  test(`refused: ${what}`, (t) => {
    const { code, message: said } = refusal(rest);
    t.is(code, 'BATCH_REFUSED');
    t.regex(said, message);
  });
}

test('what is too large is said all at once, each with its place', (t) => {
  const { message, problems } = refusal({
    environment: 'local',
    sandbox: false,
    ttlSeconds: 7200,
    resources: {
      driver: { cores: 4, memory: '5g' },
      executor: { cores: 3, memory: '4097m', instances: 2 },
      dynamicAllocation: { minExecutors: 1, maxExecutors: 5 },
    },
  });
  t.deepEqual(
    problems.map(({ path }) => path),
    [
      'options.sandbox_mode',
      'options.ttl_seconds',
      'spec.coreEtl.resources.driver.cores',
      'spec.coreEtl.resources.driver.memory',
      'spec.coreEtl.resources.executor.cores',
      'spec.coreEtl.resources.executor.memory',
      'spec.coreEtl.resources.dynamicAllocation.maxExecutors',
    ],
  );
  t.regex(message, /ttl_seconds is 7200; allowed: at most 1800/);
});

test('in playgrounds the sandbox is on, and the default deadline is within what is allowed', (t) => {
  t.like(decide({ environment: 'local' }), { sandbox: true, ttlSeconds: 1800 });
  t.like(decide({ environment: 'local', ttlSeconds: 600 }), { ttlSeconds: 600 });
  t.like(decide({ sandbox: true }), { sandbox: true });
});

test('who sees a job: its owner, whom the policy lets see those of the team, nobody else', (t) => {
  const job = { owner: 'bob@example.com', team: 'data', environment: 'dev' };
  const access = (identity: BatchIdentity) => batch.accessOf(identity)(job);
  t.is(access({ ...ann, user: 'bob@example.com', groups: [] }), 'cancel');
  t.is(access(ann), 'read');
  t.is(access({ ...ann, groups: ['data-oncall'] }), 'cancel');
  t.is(access({ ...ann, groups: [] }), 'none');
  t.is(access({ service: 'airflow', user: 'bob@example.com', groups: [] }), 'none');
  t.is(access({ service: 'bob@example.com', user: '', groups: [] }), 'none');
});

test('a service speaks for a user only where it may, when it looks at jobs, too', (t) => {
  const identity = { service: 'airflow', user: 'etl@example.com', groups: [] };
  const access = batch.accessOf(identity);
  const job = { owner: 'etl@example.com', team: 'data' };
  t.is(access({ ...job, environment: 'dev' }), 'none');
  t.is(access({ ...job, environment: 'prod' }), 'cancel');
});

test('where somebody may submit', (t) => {
  t.deepEqual(batch.grants(ann), [
    { teams: ['*'], environments: ['local', 'test'] },
    { teams: ['data', 'Data_Team'], environments: ['dev', 'staging'] },
  ]);
  t.deepEqual(batch.grants({ service: 'airflow', user: 'etl@example.com', groups: [] }), [
    { teams: ['data'], environments: ['staging', 'prod'] },
  ]);
  t.deepEqual(batch.grants({ ...ann, service: 'unknown' }), []);
});

test('without a part about batch jobs nobody may submit any', (t) => {
  const none = policyOf('').batch;
  const decided = none?.decideSubmit(
    submission({ identity: { service: 'local', user: '', groups: [] } }),
  );
  t.true(decided instanceof GatewayError && decided.code === 'BATCH_REFUSED');
});

test('an explanation is what is decided, step by step', (t) => {
  const services = fc.constantFrom('playground', 'airflow', 'local', 'x');
  const users = fc.constantFrom('', 'ann@example.com', 'etl@example.com', 'x');
  const groups = fc.subarray(['data-eng', 'data-oncall', 'root']);
  const places = fc.record({
    team: fc.constantFrom('data', 'ml'),
    environment: fc.constantFrom('local', 'dev', 'prod'),
    engineVersion: fc.constantFrom('3.5', '4.1'),
    sandbox: fc.constantFrom(undefined, true, false),
  });
  fc.assert(
    fc.property(services, users, groups, places, (service, user, named, place) => {
      const asked = submission({ identity: { service, user, groups: named }, ...place });
      const decided = batch.decideSubmit(asked);
      const { allowed, grant, refusal: said, steps } = batch.explain(asked);
      if (decided instanceof GatewayError) {
        t.false(allowed);
        t.is(said?.message, decided.message);
        t.is(steps.filter(({ outcome }) => outcome === 'refused').length, 1);
      } else {
        t.true(allowed);
        t.deepEqual(grant, decided);
        t.true(steps.every(({ outcome }) => outcome === 'passed'));
      }
    }),
  );
});

test('one job too many is refused, and says whose limit it is', (t) => {
  const limits = { jobsPerOwner: 2, jobsPerTeam: 3, jobsPerNamespace: 4 };
  const of = { owner: 'ann', team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };
  const over = (ofOwner: number, ofTeam: number, inNamespace: number) =>
    refuseOverLimit(limits, { ofOwner, ofTeam, inNamespace }, of)?.message;
  t.is(over(1, 2, 3), undefined);
  t.regex(over(2, 2, 3) ?? '', /ann may have 2 jobs/);
  t.regex(over(1, 3, 3) ?? '', /the team data may have 3/);
  t.regex(over(1, 2, 4) ?? '', /the namespace sjns-data-dev may have 4/);
});

const mistakes: readonly (readonly [string, RegExp])[] = [
  [
    'batch: { speak_for: [{ services: [airfow], users: ["*"] }] }',
    /"airfow" is no service of this policy/,
  ],
  [
    'batch: { submit: [{ who: { services: [x] }, what: { teams: [a], environments: [b] } }] }',
    /"x" is no service/,
  ],
  [
    'batch: { submit: [{ who: { groups: [x], issuers: ["https://example.okta.com"] }, what: { teams: [a], environments: [b] } }] }',
    /named by services, not by tokens/,
  ],
  [
    'source_networks: [{ name: etl, networks: [10.0.0.0/8] }]\nbatch: { speak_for: [{ services: [etl], users: ["*"] }] }',
    /"etl" is no service of this policy/,
  ],
  ['batch: { limits: [{ deadline: 2d }] }', /from 1m to 1d/],
  ['batch: { limits: [{ sandbox: forced }] }', /optional or required/],
  ['batch: { limits: [{ engines: { latest: {} } }] }', /a release of Spark's such as 3\.5/],
  ['batch: { limit: [] }', /no field of batch; did you mean "limits"/],
];
for (const [text, message] of mistakes) {
  test(`a mistake: ${text}`, (t) => {
    t.regex(mistakesIn(`${HEAD}access: []\n${text}\n`).join('\n'), message);
  });
}
