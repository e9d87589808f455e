/** What the policy limits at a time, as PySpark shows it. */
import { randomUUID } from 'node:crypto';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { Gateway } from '../support/gateway.js';
import { PySpark, type PySparkVersion } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';
import { SparkClient } from '../support/spark-client.js';
import { encode } from '../support/spark-messages.js';
import { teamPolicy } from '../support/team-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway }>;

/** Where a session may run one query at a time. */
const LIMITED = 'sjns-data-staging';
const HOLD_MS = 6_000;
/** After which Spark ends the stream of a query that goes on: longer than the others of these tests run. */
const STREAM_DURATION_S = 20;

test.before(async (t) => {
  t.context.gateway = await Gateway.start({
    policy: {
      ...teamPolicy({ maximum: 1 }),
      limits: [
        { match: { namespaces: [LIMITED] }, queries_per_session: 1 },
        { message_size: '1MiB' },
      ],
    },
    settings: {
      authz: { hold_time: `${HOLD_MS}ms` },
      drivers: {
        local: {
          cores: '3',
          spark_conf: {
            'spark.connect.execute.reattachable.senderMaxStreamDuration': `${STREAM_DURATION_S}s`,
          },
        },
      },
    },
  });
});

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
});

for (const version of ['4', '3.5'] as const) {
  test.serial(
    `PySpark ${version}: a query that is too large is refused, others go on`,
    async (t) => {
      const { gateway } = t.context;
      const pyspark = await PySpark.start(version);
      t.teardown(() => pyspark.kill());
      const user = version === '4' ? 'alice' : 'bob';
      const url = version === '4' ? await gateway.url({ user }) : await gateway.url35({ user });
      await pyspark.connect('a', url);
      const lengthOf = (characters: number) =>
        pyspark.sql('a', `SELECT length('${'x'.repeat(characters)}')`);
      t.deepEqual((await lengthOf(1_000_000)).rows, [[1_000_000]]);
      const error = await t.throwsAsync(lengthOf(3_000_000), { instanceOf: PySparkError });
      t.is(error?.code, 'RESOURCE_EXHAUSTED');
      t.regex(
        error?.message ?? '',
        /a message of 2\.87 MiB, and the policy allows 1 MiB in sjns-data-dev\. Have Spark read/,
      );
      t.is(error?.reason, 'MESSAGE_TOO_LARGE');
      t.deepEqual((await pyspark.sql('a', 'SELECT 1')).rows, [[1]]);
    },
  );
}

test.serial('a later message of an upload that is too large ends that upload alone', async (t) => {
  const { gateway } = t.context;
  const client = new SparkClient(`127.0.0.1:${gateway.port}`);
  t.teardown(() => client.close());
  const headers = {
    authorization: `Bearer ${await gateway.token('alice')}`,
    'x-doordash-team': 'data',
    'x-doordash-environment': 'dev',
  };
  const identity = encode([1, randomUUID()], [2, encode([1, 'alice'])]);
  // A batch (3) of an artifact (1) with name (1) and a chunk (2) with data (1).
  const artifact = (size: number) => {
    const chunk = encode([1, Buffer.alloc(size)]);
    return Buffer.concat([identity, encode([3, encode([1, encode([1, 'files/a'], [2, chunk])])])]);
  };
  const upload = async (...sizes: readonly number[]) => {
    const rpc = client.open('AddArtifacts', headers);
    for (const size of sizes) rpc.send(artifact(size));
    rpc.halfClose();
    return rpc.status;
  };
  // A session without a driver may be told to come back.
  await gateway.until(
    () => upload(32_768, 1_000_000),
    ({ code: answer }) => answer === GrpcStatus.OK,
  );
  const { code, details } = await upload(32_768, 1_100_000);
  t.is(code, GrpcStatus.RESOURCE_EXHAUSTED);
  t.regex(details, /larger than the policy allows \(1048576 bytes\)/);
  t.is((await upload(32_768)).code, GrpcStatus.OK);
});

/** A query of two rows, of which one has come. */
async function runningQuery(pyspark: PySpark, gate: RowGate) {
  const query = pyspark.gated('a', gate, 2);
  gate.open(0);
  await query.event(({ type }) => type === 'row');
  return query;
}

/** A PySpark, and a gate for rows of its queries. Both end with the test. */
async function startGated(t: ExecutionContext, version: PySparkVersion) {
  const pyspark = await PySpark.start(version);
  const gate = new RowGate();
  t.teardown(() => pyspark.kill());
  t.teardown(() => gate.remove());
  return { pyspark, gate };
}

async function waiting(gateway: Gateway): Promise<number> {
  const line = /^spark_gateway_queries_waiting\{.*\} (\d+)$/m.exec(await gateway.metrics());
  return Number(line?.[1] ?? 0);
}

test.serial(
  'a second query of a session waits for the first, and ReattachExecute for none',
  async (t) => {
    const { gateway } = t.context;
    const { pyspark, gate } = await startGated(t, '4');
    const { sessionId } = await pyspark.connect('a', await gateway.url({ environment: 'staging' }));
    t.deepEqual((await pyspark.sql('a', 'SELECT 1')).rows, [[1]]);
    t.deepEqual(
      (await pyspark.sql('a', 'SELECT 2')).rows,
      [[2]],
      'one after the other is one at a time',
    );

    const first = await runningQuery(pyspark, gate);
    let isFirstOver = false;
    const ended = first.result.then(() => (isFirstOver = true));
    const second = pyspark.sql('a', 'SELECT 3').then(({ rows }) => ({ rows, isFirstOver }));
    await gateway.until(
      () => waiting(gateway),
      (count) => count === 1,
    );
    const { result } = pyspark.raw({
      target: `127.0.0.1:${gateway.port}`,
      method: 'ReattachExecute',
      sessionId,
      userId: 'alice',
      message: { operationId: randomUUID() },
      metadata: [
        ['authorization', `Bearer ${await gateway.token('alice')}`],
        ['x-doordash-team', 'data'],
        ['x-doordash-environment', 'staging'],
      ],
    });
    const unknown = await t.throwsAsync(result, { instanceOf: PySparkError });
    t.regex(unknown?.message ?? '', /OPERATION_NOT_FOUND/, 'it has reached the driver');
    gate.open(1);
    t.deepEqual(await second, { rows: [[3]], isFirstOver: true });
    await ended;
    t.is(await waiting(gateway), 0);
    const reasons = (await gateway.audit(sessionId)).map(({ reason }) => reason);
    t.false(reasons.includes('QUERY_LIMIT_EXCEEDED'));
  },
);

for (const version of ['4', '3.5'] as const) {
  test.serial(`PySpark ${version}: a query that has waited for too long is told why`, async (t) => {
    const { gateway } = t.context;
    const { pyspark, gate } = await startGated(t, version);
    const user = version === '4' ? 'alice' : 'bob';
    const options = { user, environment: 'staging' };
    const url = version === '4' ? await gateway.url(options) : await gateway.url35(options);
    await pyspark.connect('a', url, { retries: 0 });
    // A session without a driver waits for one, and PySpark is told to come back.
    await gateway.until(
      () => pyspark.sql('a', 'SELECT 1').catch((error: PySparkError) => error),
      (answer) => !(answer instanceof PySparkError),
    );
    const first = await runningQuery(pyspark, gate);
    const error = await t.throwsAsync(pyspark.sql('a', 'SELECT 2'), { instanceOf: PySparkError });
    t.is(error?.code, 'RESOURCE_EXHAUSTED');
    t.is(error?.reason, 'QUERY_LIMIT_EXCEEDED');
    t.regex(
      error?.message ?? '',
      /This session runs 1 query, as many as the policy allows at a time.*spark\.interruptAll\(\)/,
    );
    t.is(error?.retryAfterMs, 2_000);
    gate.open(1);
    t.is((await first.result).rows, 2);
    t.deepEqual((await pyspark.sql('a', 'SELECT 3')).rows, [[3]]);
  });
}

test.serial('without an answer of the control plane queries are let through', async (t) => {
  const { gateway } = t.context;
  const { pyspark, gate } = await startGated(t, '4');
  await pyspark.connect('a', await gateway.url({ environment: 'staging' }));
  const first = await runningQuery(pyspark, gate);
  const pid = gateway.pid('control-plane');
  process.kill(pid, 'SIGSTOP');
  try {
    t.deepEqual((await pyspark.sql('a', 'SELECT 1')).rows, [[1]]);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  gate.open(1);
  t.is((await first.result).rows, 2);
});

test.serial(
  'a long query is reattached over the limit, and PySpark 4 asks again for the one that waits',
  async (t) => {
    const { gateway } = t.context;
    const { pyspark, gate } = await startGated(t, '4');
    const { sessionId } = await pyspark.connect('a', await gateway.url({ environment: 'staging' }));
    await pyspark.sql('a', 'SELECT 1');
    const startedAt = new Date().toISOString();
    const first = await runningQuery(pyspark, gate);
    const second = pyspark.sql('a', 'SELECT 2');
    const linesOf = async (method: string) =>
      (await gateway.audit(sessionId)).filter((line) => line.method === method);
    await gateway.until(
      () => linesOf('ExecutePlan'),
      (lines) =>
        lines.some(({ reason }) => reason === 'QUERY_LIMIT_EXCEEDED') &&
        // Not the one before, which may have waited for its driver.
        lines.some(
          ({ time, decision, durationMs = 0 }) =>
            time >= startedAt && decision === 'allowed' && durationMs > STREAM_DURATION_S * 900,
        ),
    );
    gate.open(1);
    t.is((await first.result).rows, 2);
    t.deepEqual((await second).rows, [[2]]);
    const reattached = await gateway.until(
      () => linesOf('ReattachExecute'),
      ({ length }) => length > 0,
    );
    t.true(reattached.every(({ decision }) => decision === 'allowed'));
    const refused = (await linesOf('ExecutePlan')).filter(({ decision }) => decision === 'refused');
    t.deepEqual([...new Set(refused.map(({ reason }) => reason))], ['QUERY_LIMIT_EXCEEDED']);
  },
);
