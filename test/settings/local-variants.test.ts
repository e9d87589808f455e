import test from 'ava';
import { localVariants, variantConf } from '../../src/settings/types.js';

test('a variant is Spark configuration, and another Spark where it names one', (t) => {
  const variants = {
    next: 'spark_home=/opt/spark-4.3; spark.sql.shuffle.partitions=7',
    plain: 'spark.a=b=c;spark.d=e',
  };
  t.deepEqual(localVariants({ drivers: { local: { variants } } }), [
    { name: 'next', sparkHome: '/opt/spark-4.3', conf: { 'spark.sql.shuffle.partitions': '7' } },
    { name: 'plain', conf: { 'spark.a': 'b=c', 'spark.d': 'e' } },
  ]);
});

test('anything else is refused', (t) => {
  for (const written of ['', 'spark.a', 'spark.a=', 'java_home=/x', 'sparky=1', 'spark.a=1;;']) {
    t.is(variantConf.parse(written, '/'), undefined, written);
  }
});
