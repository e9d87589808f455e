import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark }>;

test.before(async (t) => {
  t.context.gateway = await Gateway.start({ addressRange: '127.91.1.0/24' });
  t.context.pyspark = await PySpark.start('4');
});

test.after.always(async (t) => {
  await t.context.pyspark.kill();
  t.is(await t.context.gateway.stop(), 0);
});

test.serial('two users have a driver each and cannot see the other', async (t) => {
  const { gateway, pyspark } = t.context;
  const alice = await pyspark.connect('alice', await gateway.url({ user: 'alice' }));
  const bob = await pyspark.connect('bob', await gateway.url({ user: 'bob' }));
  await pyspark.createTempView('alice', 'secret', "SELECT 'alice was here' AS text");
  t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM secret')).rows, [['alice was here']]);
  const failed = await t.throwsAsync(pyspark.sql('bob', 'SELECT * FROM secret'));
  t.regex(failed.message, /TABLE_OR_VIEW_NOT_FOUND/);
  const [first, second] = [
    await gateway.driverOf(alice.sessionId),
    await gateway.driverOf(bob.sessionId),
  ];
  t.not(first.uid, second.uid);
  t.is(first.tenant?.principal.subject, 'alice@example.com');
  await pyspark.stop('alice');
  await pyspark.stop('bob');
});
