import test from 'ava';
import * as fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { GatewayError } from '../../src/model/errors.js';
import type { Query, QueryAdmission } from '../../src/model/assignment.js';
import { MESSAGE_LIMIT_HEADER } from '../../src/model/names.js';
import { assignmentFor, AuthzGateway } from '../support/authz-gateway.js';
import { allowed, denied, SESSION, sparkBody } from '../support/check-client.js';
import { limitPolicy } from '../support/queries.js';
import { encode, frame } from '../support/spark-messages.js';

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
    { numRuns: 200 },
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
