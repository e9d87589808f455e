/** Settings that the policy keeps from the Config RPC, as PySpark shows it. */
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { BODY_PREFIX_BYTES } from '../../src/model/names.js';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { teamPolicy } from '../support/team-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway }>;

test.before(async (t) => {
  t.context.gateway = await Gateway.start({
    policy: {
      ...teamPolicy({ maximum: 1 }),
      config_rules: [
        { name: 'object store', keys: ['spark.hadoop.fs.s3a.*'], refuse: ['get', 'set'] },
      ],
    },
  });
});

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
});

async function refused(
  t: ExecutionContext,
  asked: Promise<unknown>,
  message: RegExp,
): Promise<void> {
  const error = await t.throwsAsync(asked, { instanceOf: PySparkError });
  t.is(error?.code, 'PERMISSION_DENIED');
  t.regex(error?.message ?? '', message);
}

for (const version of ['4', '3.5'] as const) {
  test.serial(
    `PySpark ${version}: a protected setting is not read or set, others are`,
    async (t) => {
      const { gateway } = t.context;
      const pyspark = await PySpark.start(version);
      t.teardown(() => pyspark.kill());
      const user = version === '4' ? 'alice' : 'bob';
      await pyspark.connect(
        'a',
        version === '4' ? await gateway.url({ user }) : await gateway.url35({ user }),
      );
      t.is(await pyspark.conf('a', 'spark.sql.shuffle.partitions', '7'), '7');
      await refused(
        t,
        pyspark.conf('a', 'spark.hadoop.fs.s3a.secret.key'),
        /The policy keeps the setting "spark\.hadoop\.fs\.s3a\.secret\.key" from being read\./,
      );
      await refused(
        t,
        pyspark.conf('a', 'spark.hadoop.fs.s3a.endpoint', 'http://elsewhere'),
        /"spark\.hadoop\.fs\.s3a\.endpoint" from being set\./,
      );
      await refused(
        t,
        pyspark.conf('a', 'spark.sql.warehouse.dir', 'x'.repeat(BODY_PREFIX_BYTES)),
        /longer than the gateway reads/,
      );
      if (version === '4') await refused(t, pyspark.confAll('a'), /would list settings/);
      // docs/policy.md says that SQL is not seen.
      const { rows } = await pyspark.sql('a', 'SET spark.hadoop.fs.s3a.endpoint=http://elsewhere');
      t.is(rows.length, 1);
      t.deepEqual((await pyspark.sql('a', 'SELECT 1 AS one')).rows, [[1]]);
    },
  );
}
