import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark }>;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: routingPolicy({
        pools: [{ size: 1, maximum: 1, sessions_per_driver: 5 }],
        canaries: [{ template: 'next', share: '100%', when_none_is_ready: 'wait', size: 1 }],
        warm_namespaces: ['sjns-data-dev'],
      }),
      settings: { drivers: { local: { variants: { next: 'spark.sql.shuffle.partitions=7' } } } },
    }),
    PySpark.start('4'),
  ]);
});

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

test('a session of the canary runs on a driver of the other template', async (t) => {
  const { gateway, pyspark } = t.context;
  await pyspark.connect('alice', await gateway.url());
  t.is(await pyspark.conf('alice', 'spark.sql.shuffle.partitions'), '7');
});
