/** What the policy limits at a time, as PySpark shows it. */
import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway }>;

test.before(async (t) => {
  t.context.gateway = await Gateway.start({
    addressRange: '127.91.32.0/24',
    policy: routingPolicy({ limits: [{ message_size: '1MiB' }] }),
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
