import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark, type RawRequest } from '../support/pyspark.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark; session: string }>;

const MEGABYTE = 1_000_000;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: routingPolicy({
        pools: [{ size: 1, maximum: 1, sessions_per_driver: 2 }],
        warm_namespaces: ['sjns-data-dev'],
      }),
      settings: {
        drivers: {
          local: {
            // The default of the setting.
            memory: '2GiB',
            spark_conf: { 'spark.connect.execute.reattachable.senderMaxStreamDuration': '3s' },
          },
        },
      },
    }),
    PySpark.start('4'),
  ]);
  const url = await t.context.gateway.url();
  t.context.session = (await t.context.pyspark.connect('alice', url)).sessionId;
});

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

test.serial('200 MB of a local frame reach the driver whole, in pieces', async (t) => {
  const { pyspark } = t.context;
  const counted = await pyspark.createDataFrame('alice', 200);
  t.deepEqual(counted, { rows: 200, bytes: 200 * MEGABYTE, sum: (200 * 199) / 2 });
});

test.serial('200 MB reach the driver whole in a single message', async (t) => {
  const { gateway, pyspark } = t.context;
  // PySpark itself sends no more than 128 MiB in one, unless it is told to; drivers take 256 MiB.
  const longest = { longestMessage: 256 * 1024 * 1024 };
  const { sessionId } = await pyspark.connect('single', await gateway.url(), longest);
  await pyspark.conf('single', 'spark.sql.session.localRelationCacheThreshold', '1000000000');
  const counted = await pyspark.createDataFrame('single', 200);
  t.deepEqual(counted, { rows: 200, bytes: 200 * MEGABYTE, sum: (200 * 199) / 2 });
  const lines = await gateway.until(
    () => gateway.audit(sessionId),
    (found) => found.some((line) => line.bytesReceived > 200 * MEGABYTE),
  );
  t.is(lines.find((line) => line.bytesReceived > 200 * MEGABYTE)?.grpcStatus, 0);
  // Spark keeps the plans of a session in memory for as long as it lives.
  await pyspark.stop('single');
});

test.serial('200 MB of a result come back whole', async (t) => {
  const { pyspark } = t.context;
  const rows = 210_000;
  const frame = await pyspark.toPandas('alice', rows);
  t.true(frame.bytes > 200 * MEGABYTE);
  t.is(frame.rows, rows);
  t.is(frame.right, rows);
  t.is(frame.sum, (rows * (rows - 1)) / 2);
});

test.serial('two million short rows come back whole', async (t) => {
  const { pyspark } = t.context;
  const rows = 2_000_000;
  const frame = await pyspark.toPandasOf('alice', rows);
  t.deepEqual(frame, { rows, sum: (rows * (rows - 1)) / 2, bytes: 52 * rows });
});

test.serial('200 MB pass both ways for PySpark 3.5', async (t) => {
  const { gateway } = t.context;
  const old = await PySpark.start('3.5');
  t.teardown(() => old.kill());
  await old.connect('old', await gateway.url35());
  t.like(await old.createDataFrame('old', 200), { rows: 200, bytes: 200 * MEGABYTE });
  t.like(await old.toPandas('old', 210_000), { rows: 210_000, right: 210_000 });
});

test.serial("a Python file of many chunks is there for the session's workers", async (t) => {
  const { pyspark } = t.context;
  const folder = mkdtempSync(join(tmpdir(), 'artifact-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const answer = randomBytes(500_000).toString('hex');
  const path = join(folder, 'gateway_answer.py');
  writeFileSync(path, `ANSWER = "${answer}"\n`);
  await pyspark.addArtifacts('alice', path, 'pyfile');
  t.is(await pyspark.udf('alice', 'gateway_answer', 'ANSWER'), answer);
});

test.serial('compressed requests are routed like any other', async (t) => {
  const { gateway, pyspark, session } = t.context;
  const request: Omit<RawRequest, 'method'> = {
    target: `127.0.0.1:${gateway.port}`,
    sessionId: session,
    userId: 'alice',
    metadata: [
      ['authorization', `Bearer ${await gateway.token('alice')}`],
      ['x-doordash-team', 'data'],
      ['x-doordash-environment', 'dev'],
    ],
    // The only compression that Spark's server knows.
    compression: 'gzip',
  };
  const small = { ...request, method: 'AnalyzePlan', message: { sparkVersion: {} } };
  const [version] = (await pyspark.raw(small).result).responses;
  t.like(version, { sessionId: session });

  // Far longer than what authz gets to see of it, compressed or not.
  const text = randomBytes(50_000).toString('hex');
  const query = `SELECT assert_true(length('${text}') = 100000)`;
  const message = { plan: { root: { sql: { query } } } };
  const { responses } = await pyspark.raw({ ...request, method: 'ExecutePlan', message }).result;
  t.true(responses.some((response) => 'arrowBatch' in response));
});

test.serial("a query outlives the server's streams: the client reattaches", async (t) => {
  const { gateway, pyspark, session } = t.context;
  const reattachments = async () =>
    (await gateway.audit(session)).filter(({ method }) => method === 'ReattachExecute');
  const before = (await reattachments()).length;
  // Ten tasks, one after the other.
  const { rows } = await pyspark.stream(
    'alice',
    "SELECT id, java_method('java.lang.Thread', 'sleep', 800L) FROM range(0, 10, 1, 10)",
  ).result;
  t.is(rows, 10);
  const lines = await gateway.until(reattachments, ({ length }) => length > before + 1);
  t.true(lines.every(({ grpcStatus }) => grpcStatus === 0));
  t.regex(
    await gateway.metrics(),
    /request_success_total\{method="ReattachExecute",team="data",environment="dev"\} [1-9]/,
  );
});

test.serial('a clone with an id of its own shares its driver, and keeps it', async (t) => {
  const { gateway, pyspark, session } = t.context;
  await pyspark.createTempView('alice', 'shared', "SELECT 'before' AS text");
  const driver = await gateway.driverOf(session);
  const id = randomUUID();
  t.is((await pyspark.clone('alice', 'twin', id)).sessionId, id);
  // Spark copies the state of the first session when the second one is first used.
  t.deepEqual((await pyspark.sql('twin', 'SELECT * FROM shared')).rows, [['before']]);
  await pyspark.createTempView('alice', 'shared', "SELECT 'after' AS text");
  t.is((await gateway.driverOf(id)).uid, driver.uid);

  await pyspark.stop('alice');
  await gateway.until(
    () => gateway.sessions(),
    (sessions) => sessions.every((live) => live.id !== session),
  );
  t.deepEqual((await pyspark.sql('twin', 'SELECT * FROM shared')).rows, [['before']]);
});

test.serial('a clone whose id is left to the server gets one, and is there', async (t) => {
  const { gateway, pyspark } = t.context;
  await pyspark.createTempView('twin', 'mine', "SELECT 'twin' AS text");
  const { sessionId } = await pyspark.clone('twin', 'nameless');
  t.deepEqual((await pyspark.sql('nameless', 'SELECT * FROM mine')).rows, [['twin']]);
  const { sessionId: source } = await pyspark.identity('twin');
  t.is((await gateway.driverOf(sessionId)).uid, (await gateway.driverOf(source)).uid);
  await pyspark.stop('twin');
  t.deepEqual((await pyspark.sql('nameless', 'SELECT * FROM mine')).rows, [['twin']]);
});
