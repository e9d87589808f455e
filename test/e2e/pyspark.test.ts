import test from 'ava';
import { PySpark, type PySparkVersion } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { unusedPort } from '../support/unused-port.js';

const versions: readonly PySparkVersion[] = ['4', '3.5'];

for (const version of versions) {
  test(`PySpark ${version} shows a server that is not there as UNAVAILABLE`, async (t) => {
    const pyspark = await PySpark.start(version);
    t.teardown(() => pyspark.kill());
    const port = await unusedPort();
    const error = await t.throwsAsync(
      async () => {
        await pyspark.connect('a', `sc://127.0.0.1:${port}/;user_id=ann`, { retries: 0 });
        await pyspark.sql('a', 'SELECT 1');
      },
      { instanceOf: PySparkError },
    );
    t.is(error?.code, 'UNAVAILABLE');
  });
}

test('commands that wait for a client end with it', async (t) => {
  const pyspark = await PySpark.start();
  const port = await unusedPort();
  const call = pyspark.raw({ target: `127.0.0.1:${port}`, method: 'ExecutePlan' });
  await pyspark.kill();
  await t.throwsAsync(call.result);
  await t.throwsAsync(pyspark.identity('a'), { message: /has ended/ });
});
