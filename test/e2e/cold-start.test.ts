import { randomUUID } from 'node:crypto';
import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway }>;

/** Shorter than any driver's start. */
const HOLD_TIME = '500ms';

test.before(async (t) => {
  t.context.gateway = await Gateway.start({
    policy: routingPolicy({ pools: [{ size: 0, maximum: 2 }] }),
    settings: { authz: { hold_time: HOLD_TIME } },
  });
});

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
});

/** How often the session was told to come back before it had its driver. */
async function refusals(gateway: Gateway, sessionId: string): Promise<readonly string[]> {
  const lines = await gateway.until(
    () => gateway.audit(sessionId),
    (found) => found.some(({ grpcStatus }) => grpcStatus === 0),
  );
  return lines.flatMap(({ reason }) => reason ?? []);
}

test.serial('PySpark 3.5 waits while its driver starts', async (t) => {
  const { gateway } = t.context;
  const pyspark = await PySpark.start('3.5');
  t.teardown(() => pyspark.kill());
  const { sessionId } = await pyspark.connect('bob', await gateway.url35({ user: 'bob' }));
  t.deepEqual((await pyspark.sql('bob', 'SELECT 1 + 1')).rows, [[2]]);
  const told = await refusals(gateway, sessionId);
  t.true(told.length >= 1);
  t.deepEqual(new Set(told), new Set(['DRIVER_STARTING']));
  t.is((await gateway.drivers()).length, 1);
});

test.serial('PySpark waits while its driver starts, and is told when to come back', async (t) => {
  const { gateway } = t.context;
  const pyspark = await PySpark.start('4');
  t.teardown(() => pyspark.kill());
  const sessionId = randomUUID();
  const first = pyspark.raw({
    target: `127.0.0.1:${gateway.port}`,
    method: 'Config',
    sessionId,
    userId: 'alice',
    message: { operation: { getAll: {} } },
    metadata: [
      ['authorization', `Bearer ${await gateway.token('alice')}`],
      ['x-doordash-team', 'data'],
      ['x-doordash-environment', 'dev'],
    ],
  });
  const error = await t.throwsAsync(first.result, { instanceOf: PySparkError });
  t.is(error?.code, 'UNAVAILABLE');
  t.is(error?.reason, 'DRIVER_STARTING');
  t.true((error?.retryAfterMs ?? 0) >= 1000);

  await pyspark.connect('alice', await gateway.url({ parameters: { session_id: sessionId } }));
  t.deepEqual((await pyspark.sql('alice', 'SELECT 1 + 1')).rows, [[2]]);
  const told = await refusals(gateway, sessionId);
  t.true(told.length >= 2, `it was told to come back ${told.length} times`);
  t.deepEqual(new Set(told), new Set(['DRIVER_STARTING']));
  t.is((await gateway.drivers()).length, 2, 'coming back makes no further driver');
});
