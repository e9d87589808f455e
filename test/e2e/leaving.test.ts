import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway }>;

test.before(async (t) => {
  t.context.gateway = await Gateway.start({
    policy: routingPolicy({
      pools: [
        {
          size: 1,
          maximum: 1,
          sessions_per_driver: 5,
          sharing: 'team',
          after_use: 'reuse',
          disconnected_ttl: '10s',
        },
      ],
      warm_namespaces: ['sjns-data-dev'],
      quotas: [{ sessions_per_principal: '1' }],
    }),
    // Longer than anything is waited for. What is idle is looked for 20 times as often.
    settings: { session_ttl: '3m' },
  });
});

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
});

/** Long before their TTL. */
async function noSessions(gateway: Gateway): Promise<void> {
  await gateway.until(
    () => gateway.sessions(),
    ({ length }) => length === 0,
  );
}

test.serial('a 3.5 client that has stopped frees its driver, though it tells nobody', async (t) => {
  const { gateway } = t.context;
  const pyspark = await PySpark.start('3.5');
  t.teardown(() => pyspark.kill());
  await pyspark.connect('bob', await gateway.url35({ user: 'bob' }));
  await pyspark.sql('bob', 'SELECT 1');
  t.is((await gateway.sessions()).length, 1);
  await pyspark.stop('bob');
  await noSessions(gateway);
});

test.serial(
  'a client that is killed is no quota for long; until then its owner reads what to end',
  async (t) => {
    const { gateway } = t.context;
    const [killed, later] = [await PySpark.start('4'), await PySpark.start('4')];
    t.teardown(() => later.kill());
    const { sessionId } = await killed.connect('alice', await gateway.url());
    await killed.sql('alice', 'SELECT 1');
    const error = await t.throwsAsync(
      later.connect('alice', await gateway.url()).then(() => later.sql('alice', 'SELECT 1')),
      { instanceOf: PySparkError },
    );
    t.regex(error?.message ?? '', new RegExp(`spark-gateway release ${sessionId}`));
    await killed.kill();
    await noSessions(gateway);
    await later.connect('alice', await gateway.url());
    t.deepEqual((await later.sql('alice', 'SELECT 1')).rows, [[1]]);
  },
);

test.serial('a client that is connected keeps its session, however idle', async (t) => {
  const { gateway } = t.context;
  const [idle, other] = [await PySpark.start('4'), await PySpark.start('4')];
  t.teardown(() => idle.kill());
  await noSessions(gateway);
  const { sessionId } = await idle.connect('bob', await gateway.url({ user: 'bob' }));
  await idle.sql('bob', 'SELECT 1');
  const { sessionId: left } = await other.connect('alice', await gateway.url());
  await other.sql('alice', 'SELECT 1');
  await other.kill();
  // bob's has been idle for longer when alice's has ended.
  await gateway.until(
    () => gateway.sessions(),
    (sessions) => sessions.every(({ id }) => id !== left),
  );
  t.deepEqual(
    (await gateway.sessions()).map(({ id }) => id),
    [sessionId],
  );
});
