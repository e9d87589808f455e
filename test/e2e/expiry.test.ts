import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';
import { RowGate } from '../support/row-gate.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark }>;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: (issuer: string) =>
        routingPolicy({
          issuers: [
            {
              issuer,
              audiences: ['api://spark-gateway'],
              clock_skew: '0s',
            },
          ],
          pools: [{ size: 1, maximum: 1, sessions_per_driver: 5 }],
          warm_namespaces: ['sjns-data-dev'],
        }),
      settings: {
        session_ttl: '10s',
        drivers: {
          local: {
            // One for a query that waits, one for the others.
            cores: '2',
            spark_conf: { 'spark.connect.execute.reattachable.senderMaxStreamDuration': '2s' },
          },
        },
      },
    }),
    PySpark.start('4'),
  ]);
});

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

test.serial('an idle session expires, one with a running query does not', async (t) => {
  const { gateway, pyspark } = t.context;
  const gate = new RowGate();
  t.teardown(() => gate.remove());
  const old = await PySpark.start('3.5');
  t.teardown(() => old.kill());
  const { sessionId: busy } = await pyspark.connect('busy', await gateway.url());
  const query = pyspark.gated('busy', gate, 1);
  const idle = await pyspark.connect('idle', await gateway.url());
  await pyspark.sql('idle', 'SELECT 1');
  await old.connect('idle', await gateway.url35());
  await old.sql('idle', 'SELECT 1');

  const left = await gateway.until(
    () => gateway.sessions(),
    (sessions) => sessions.length === 1,
  );
  t.deepEqual(
    left.map(({ id }) => id),
    [busy],
  );
  gate.open(0);
  t.deepEqual(await query.result, { rows: 1 });
  t.deepEqual((await pyspark.sql('busy', 'SELECT 1')).rows, [[1]]);

  const error = await t.throwsAsync(pyspark.sql('idle', 'SELECT 1'), {
    instanceOf: PySparkError,
  });
  t.is(error?.condition ?? error?.errorInfo['errorClass'], 'INVALID_HANDLE.SESSION_CHANGED');
  t.regex(error?.message ?? '', /idle for too long.*getOrCreate\(\)/);
  const oldError = await t.throwsAsync(old.sql('idle', 'SELECT 1'), { instanceOf: PySparkError });
  t.regex(oldError?.message ?? '', /SESSION_CHANGED.*3\.5 client calls spark\.stop\(\) first/);

  // Neither hangs on a session that is gone.
  await Promise.all([pyspark.stop('idle'), old.stop('idle')]);
  t.not((await pyspark.connect('idle', await gateway.url())).sessionId, idle.sessionId);
  t.deepEqual((await pyspark.sql('idle', 'SELECT 2')).rows, [[2]]);
});

test.serial(
  'a token that expires during a query is good until its results are fetched',
  async (t) => {
    const { gateway, pyspark } = t.context;
    const gate = new RowGate();
    t.teardown(() => gate.remove());
    const token = await gateway.token('alice', '8s');
    const { sessionId } = await pyspark.connect('brief', await gateway.url({ token }));
    const query = pyspark.gated('brief', gate, 3);
    gate.open(0);
    await query.event(({ type }) => type === 'row');

    const ask = () =>
      pyspark.raw({
        target: `127.0.0.1:${gateway.port}`,
        method: 'AnalyzePlan',
        sessionId,
        userId: 'alice',
        message: { sparkVersion: {} },
        metadata: [
          ['authorization', `Bearer ${token}`],
          ['x-doordash-team', 'data'],
          ['x-doordash-environment', 'dev'],
        ],
      }).result;
    const refused = await gateway.until(
      () =>
        ask().then(
          () => undefined,
          (error: unknown) => error,
        ),
      (error) => error !== undefined,
    );
    t.like(refused, { code: 'UNAUTHENTICATED', reason: 'TOKEN_EXPIRED' });
    const expiredAtMs = Date.now();
    await gateway.until(
      () => gateway.audit(sessionId),
      (lines) =>
        lines.some(
          ({ method, grpcStatus, time }) =>
            method === 'ReattachExecute' && grpcStatus === 0 && Date.parse(time) > expiredAtMs,
        ),
    );
    gate.open(1, 2);
    t.deepEqual(await query.result, { rows: 3 });

    const error = await t.throwsAsync(pyspark.sql('brief', 'SELECT 1'), {
      instanceOf: PySparkError,
    });
    t.is(error?.code, 'UNAUTHENTICATED');
    t.regex(error?.message ?? '', /Your token expired at .*Get a new one/);

    await pyspark.stop('brief');
    await gateway.until(
      () => gateway.sessions(),
      (sessions) => sessions.every(({ id }) => id !== sessionId),
    );
  },
);
