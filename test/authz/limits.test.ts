import { gzipSync } from 'node:zlib';
import test from 'ava';
import * as fc from 'fast-check';
import pino from 'pino';
import { EnvoyCountsReader, parseEnvoyCounts } from '../../src/authz/envoy-counts-reader.js';
import { ShadowTally } from '../../src/authz/shadow.js';
import type { Query, QueryAdmission } from '../../src/model/assignment.js';
import { DURATION_BUCKETS_MS } from '../../src/model/envoy-counts.js';
import { GatewayError } from '../../src/model/errors.js';
import { MESSAGE_LIMIT_HEADER } from '../../src/model/names.js';
import { assignmentFor, AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, SESSION, sparkBody } from '../support/check-client.js';
import { ManualClock } from '../support/manual-clock.js';
import { limitPolicy } from '../support/queries.js';
import { tries } from '../support/tries.js';
import { encode, frame } from '../support/spark-messages.js';

// Limits of what is under way.

const LIMIT = 1024 ** 2;

/** The first bytes of a message of `bytes`, as Envoy sends them. */
function bodyOf(bytes: number): Buffer {
  const head = Buffer.from(sparkBody());
  head.writeUInt32BE(bytes, 1);
  return head;
}

async function start(): Promise<AuthzGateway> {
  return AuthzGateway.start({
    limits: (namespace) =>
      namespace === 'sjns-data-prod' ? limitPolicy({ messageSizeBytes: LIMIT }) : undefined,
  });
}

test('a message larger than the policy allows is refused with both sizes and what to do', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const check = (bytes: number, method: string, headers = {}) =>
    gateway.client.check({ token, method, headers, body: bodyOf(bytes) });
  allowed(await check(LIMIT, 'ExecutePlan'));
  const refused = denied(await check(LIMIT + 1, 'ExecutePlan'));
  t.is(refused.code, 'MESSAGE_TOO_LARGE');
  t.is(refused.grpcStatus, 8);
  t.is(refused.retryAfterMs, undefined, 'trying again would not help');
  t.regex(refused.message, /1\.01 MiB, and the policy allows 1 MiB in sjns-data-prod\. Have Spark/);
  for (const method of ['Config', 'AnalyzePlan', 'AddArtifacts', 'ArtifactStatus']) {
    t.is(denied(await check(LIMIT + 1, method)).code, 'MESSAGE_TOO_LARGE', method);
  }
  const elsewhere = { 'x-doordash-environment': 'dev' };
  allowed(await check(0xffff_ffff, 'ExecutePlan', elsewhere));
});

test('Envoy is told to hold each message of an upload to the limit, of which one is seen here', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const ordered = async (method: string, headers = {}) =>
    allowed(await gateway.client.check({ token, method, headers })).set[MESSAGE_LIMIT_HEADER];
  t.is(await ordered('AddArtifacts'), String(LIMIT));
  t.is(await ordered('ExecutePlan'), undefined);
  t.is(await ordered('AddArtifacts', { 'x-doordash-environment': 'dev' }), undefined);
});

test('a compressed message counts as it is sent', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const plan = encode([1, SESSION], [2, encode([1, 'ann'])], [3, Buffer.alloc(4 * LIMIT)]);
  const body = frame(gzipSync(plan), true);
  t.true(body.length < LIMIT);
  const headers = { 'grpc-encoding': 'gzip' };
  allowed(await gateway.client.check({ token: await gateway.token(), headers, body }));
});

test('whatever the body is, it is allowed or refused with a reason', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.nat(0xffff_ffff).map((size) => bodyOf(size)),
    fc.tuple(fc.nat(60), fc.nat(0xffff_ffff)).map(([end, size]) => bodyOf(size).subarray(0, end)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (body) => {
      const response = await gateway.client.check({ token, body: Buffer.from(body) });
      if (response.httpResponse.case === 'deniedResponse') {
        t.true(['REQUEST_UNREADABLE', 'MESSAGE_TOO_LARGE'].includes(denied(response).code ?? ''));
      } else allowed(response);
    }),
    { numRuns: tries(200) },
  );
});

/** A gateway whose policy limits queries in sjns-data-prod, and what it asks the control plane. */
async function startLimited(
  admit: QueryAdmission['admit'],
): Promise<{ gateway: AuthzGateway; asked: Query[]; resumed: Query[] }> {
  const asked: Query[] = [];
  const resumed: Query[] = [];
  const gateway = await AuthzGateway.start(
    {
      limits: (namespace) =>
        namespace === 'sjns-data-prod' ? limitPolicy({ queriesPerPrincipal: 1 }) : undefined,
    },
    {
      queries: {
        admit(query, holdMs, signal) {
          asked.push(query);
          return admit(query, holdMs, signal);
        },
        resumed: (query) => void resumed.push(query),
      },
    },
  );
  return { gateway, asked, resumed };
}

const headers = { 'x-request-id': 'request-1' };

test('ExecutePlan alone asks for its turn, and only where queries are limited', async (t) => {
  const { gateway, asked, resumed } = await startLimited(() => Promise.resolve());
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const methods = ['Config', 'AnalyzePlan', 'AddArtifacts', 'ReleaseExecute', 'Interrupt'];
  for (const method of methods) allowed(await gateway.client.check({ token, method, headers }));
  t.deepEqual(asked, []);
  const elsewhere = { ...headers, 'x-doordash-environment': 'dev' };
  allowed(await gateway.client.check({ token, headers: elsewhere }));
  t.deepEqual(asked, []);
  allowed(await gateway.client.check({ token, headers }));
  t.is(asked.length, 1);
  t.like(asked[0], {
    requestId: 'request-1',
    sessionId: SESSION,
    principal: { subject: 'ann@example.com' },
    team: 'data',
    namespace: 'sjns-data-prod',
  });
  allowed(await gateway.client.check({ token, method: 'ReattachExecute', headers }));
  t.is(asked.length, 1);
  t.is(resumed.length, 1);
});

test('a query that gets no turn is refused as the control plane says', async (t) => {
  const { gateway } = await startLimited(() =>
    Promise.reject(new GatewayError('QUERY_LIMIT_EXCEEDED', 'You run 1 query.')),
  );
  t.teardown(() => gateway.close());
  const refused = denied(await gateway.client.check({ token: await gateway.token(), headers }));
  t.is(refused.code, 'QUERY_LIMIT_EXCEEDED');
  t.is(refused.grpcStatus, 8);
  t.is(refused.message, 'You run 1 query.');
  t.deepEqual(gateway.letThrough, []);
});

test('a query whose request has ended while it waited is not let through', async (t) => {
  const { gateway } = await startLimited(() =>
    Promise.reject(new GatewayError('DRIVER_STARTING', 'The caller no longer waits.')),
  );
  t.teardown(() => gateway.close());
  const refused = denied(await gateway.client.check({ token: await gateway.token(), headers }));
  t.is(refused.code, 'DRIVER_STARTING');
  t.deepEqual(gateway.letThrough, []);
});

for (const code of ['CONTROL_PLANE_UNAVAILABLE', 'INTERNAL'] as const) {
  test(`without an answer (${code}) a query is let through and counted`, async (t) => {
    const { gateway } = await startLimited(() => Promise.reject(new GatewayError(code, 'away')));
    t.teardown(() => gateway.close());
    const token = await gateway.token();
    allowed(await gateway.client.check({ token, headers }));
    allowed(await gateway.client.check({ token, headers }));
    t.deepEqual(gateway.letThrough, [code, code]);
    t.is(gateway.logLines.filter((line) => line.includes('let through')).length, 1);
  });
}

test('a session that ends while its query waits is not sent to its former driver', async (t) => {
  const { gateway } = await startLimited(() => {
    gateway.assign = () => Promise.reject(new GatewayError('SESSION_ENDED', 'It has ended.'));
    return Promise.resolve();
  });
  t.teardown(() => gateway.close());
  const refused = denied(await gateway.client.check({ token: await gateway.token(), headers }));
  t.is(refused.code, 'SESSION_ENDED');
});

for (const [name, policy, code] of [
  ['refuses its principal', { matchUserId: true }, 'USER_ID_MISMATCH'],
  ['does not trust its issuer', { issuers: [] }, 'TOKEN_ISSUER_UNKNOWN'],
] as const) {
  test(`a query does not begin when the policy ${name} by the time of its turn`, async (t) => {
    const { gateway, asked } = await startLimited(() => {
      gateway.setPolicy(policy);
      return Promise.resolve();
    });
    t.teardown(() => gateway.close());
    const body = sparkBody('someone');
    const token = await gateway.token();
    const refused = denied(await gateway.client.check({ token, headers, body }));
    t.is(refused.code, code);
    t.is(asked.length, 1);
  });
}

test('what is left of the hold after its turn is all that a query waits for its driver', async (t) => {
  const { gateway } = await startLimited(() => gateway.clock.advance(45_000));
  t.teardown(() => gateway.close());
  allowed(await gateway.client.check({ token: await gateway.token(), headers }));
  t.deepEqual(
    gateway.asked.map(({ holdMs }) => holdMs),
    [60_000, 15_000],
  );
});

test('the time that a query waited for its driver is part of its hold', async (t) => {
  const holds: number[] = [];
  const { gateway } = await startLimited((_query, holdMs) => {
    holds.push(holdMs);
    return Promise.resolve();
  });
  t.teardown(() => gateway.close());
  gateway.assign = async (request) => {
    if (holds.length === 0) await gateway.clock.advance(20_000);
    return assignmentFor(request);
  };
  allowed(await gateway.client.check({ token: await gateway.token(), headers }));
  t.deepEqual(holds, [40_000]);
});

// Rates.

const NONE = { principal: undefined, team: undefined, namespace: undefined };

test('requests beyond the rate are refused with the time to wait, but none that ends running work', async (t) => {
  const principal = { count: 2, perMs: 10_000 };
  const gateway = await AuthzGateway.start({
    rateLimits: () => ({ sessions: NONE, requests: { ...NONE, principal } }),
  });
  t.teardown(() => gateway.close());
  const token = await gateway.token();
  const check = (method: string) => gateway.client.check({ token, method });
  allowed(await check('ExecutePlan'));
  allowed(await check('AnalyzePlan'));
  const refused = denied(await check('ExecutePlan'));
  t.is(refused.code, 'RATE_LIMITED');
  t.is(refused.grpcStatus, 8);
  t.is(refused.retryAfterMs, 5_000);
  t.regex(refused.message, /allows you 2 requests in 10 s/);
  for (const method of ['ReattachExecute', 'ReleaseExecute', 'Interrupt', 'FetchErrorDetails']) {
    allowed(await check(method));
  }
  await gateway.clock.advance(5_000);
  allowed(await check('Config'));
});

// What each Envoy counts.

const METRIC = 'envoy_cluster_grpc_SparkConnectService_ReleaseExecute';
const labels = (cluster: string) =>
  `envoy_grpc_bridge_method="connect",envoy_grpc_bridge_service="spark",envoy_cluster_name="${cluster}"`;

function said(cluster: string, success: number, upTo: Record<string, number>): string {
  const of = labels(cluster);
  return [
    `# TYPE ${METRIC}_success counter`,
    `${METRIC}_success{${of}} ${success}`,
    ...Object.entries(upTo).map(
      ([le, count]) => `${METRIC}_upstream_rq_time_bucket{${of},le="${le}"} ${count}`,
    ),
    `${METRIC}_upstream_rq_time_sum{${of}} 12.5`,
    `${METRIC}_upstream_rq_time_count{${of}} 9`,
  ].join('\n');
}

test('counts are by namespace; buckets of Envoy end where ours do, or in the next', (t) => {
  const text = [
    said('spark/sjns-a-dev', 7, {
      '0.5': 1,
      '1': 2,
      '5': 3,
      '10': 3,
      '60000': 4,
      '300000': 8,
      '+Inf': 9,
    }),
    said('spark/sjns-b-dev', 1, { '+Inf': 0 }),
    said('other', 5, {}),
    'no metric at all',
  ].join('\n');
  const [a, b, ...more] = parseEnvoyCounts(text);
  t.deepEqual(more, []);
  t.like(a, { namespace: 'sjns-a-dev', method: 'ReleaseExecute', succeeded: 7, totalMs: 12.5 });
  const at = (ms: number) => a?.buckets[(DURATION_BUCKETS_MS as readonly number[]).indexOf(ms)];
  t.is(at(5), 3);
  t.is(at(10), 0);
  t.is(at(60_000), 1);
  t.is(at(120_000), 0, 'Envoy has no such bucket');
  t.is(at(300_000), 4);
  t.is(a?.buckets.at(-1), 1);
  t.like(b, { namespace: 'sjns-b-dev', succeeded: 1 });
});

test('an Envoy that does not answer is asked again, and what it said last is what is known', async (t) => {
  const clock = new ManualClock();
  const answers: (string | Error)[] = [
    said('spark/a', 1, {}),
    new Error('gone'),
    said('spark/a', 5, {}),
  ];
  const asked: (() => void)[] = [];
  const reader = new EnvoyCountsReader({
    adminUrl: 'http://127.0.0.1:9901',
    clock,
    logger: pino({ level: 'silent' }),
    read: () => {
      const answer = answers.shift();
      for (const tell of asked.splice(0)) tell();
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? '');
    },
  });
  const look = async () => {
    const looked = new Promise<void>((resolve) => void asked.push(resolve));
    await clock.advance(5_000);
    await looked;
    await new Promise(setImmediate);
  };
  await new Promise(setImmediate);
  t.is(reader.current()[0]?.succeeded, 1);
  await look();
  t.is(reader.current()[0]?.succeeded, 1);
  await look();
  t.is(reader.current()[0]?.succeeded, 5);
  reader.close();
});

// What shadows would decide, counted.

const refused = { source: 'policy', would: 'refuse', code: 'NAMESPACE_REFUSED' } as const;
const letIn = { source: 'rule', would: 'allow', code: 'OK' } as const;
const person = (subject: string) => ({ issuer: 'https://example.okta.com', subject });

function exampleOf(subject: string) {
  const message = `${subject} may not`;
  return { ...refused, by: 'c1', principal: person(subject), method: 'Config', message };
}

test('differences are counted by kind; a new version begins anew, and only its own source', (t) => {
  const tally = new ShadowTally(new ManualClock());
  tally.decides('policy', 'c1');
  tally.decides('rule', 'v1');
  for (const kind of [refused, letIn, refused]) tally.count(kind);
  tally.example(exampleOf('ann'));
  tally.decides('policy', 'c1');
  t.deepEqual(tally.counts, [
    { ...refused, count: 2 },
    { ...letIn, count: 1 },
  ]);
  tally.decides('policy', 'c2');
  t.deepEqual(tally.counts, [{ ...letIn, count: 1 }]);
  t.deepEqual(tally.examples, []);
  tally.decides('policy', undefined);
  t.is(tally.counts.length, 1);
});

test('the newest examples are kept, each once, and long messages are cut', async (t) => {
  const clock = new ManualClock();
  const tally = new ShadowTally(clock);
  for (let i = 0; i < 20; i++) tally.example(exampleOf(`person-${i}`));
  await clock.advance(1_000);
  tally.example({ ...exampleOf('person-15'), message: 'x'.repeat(10_000) });
  t.is(tally.examples.length, 10);
  t.like(tally.examples[0], { principal: person('person-15'), atMs: clock.now() });
  t.true((tally.examples[0]?.message.length ?? 0) < 1_000);
  t.is(tally.examples.filter(({ principal }) => principal.subject === 'person-15').length, 1);
});

// What authz writes into its log of requests that nobody known has made.

const PATH = '/spark.connect.SparkConnectService/';

interface Line {
  readonly level: number;
  readonly code?: string;
  readonly kinds?: Record<string, number>;
}
const INFO = 30;

test('a flood of refused requests fills no log, shows no path, and is counted', async (t) => {
  const gateway = await AuthzGateway.start();
  t.teardown(() => gateway.close());
  for (let n = 0; n < 200; n += 1) {
    await gateway.client.check({ path: `${PATH}secret?access_token=secret` });
  }
  const lines = () =>
    gateway.logLines
      .map((line) => JSON.parse(line) as Line)
      .filter(({ level, code, kinds }) => level >= INFO && (code ?? kinds) !== undefined);
  t.is(lines().length, 10);
  t.notRegex(gateway.logLines.join(''), /secret/);
  await gateway.clock.advance(60_000);
  t.deepEqual(lines().at(-1)?.kinds, { METHOD_UNKNOWN: 190 });
});
