/** What runs batch jobs, with real Sparks: its sandbox, what it writes, how it fails. */
import test from 'ava';
import { PURE, pythonTestsPass, WITH_SPARK } from '../support/coreetl-suite.js';
import { pythonOf, type PySparkVersion } from '../support/pyspark.js';

for (const version of ['3.5', '4'] satisfies PySparkVersion[]) {
  test.serial(`batch jobs: sandbox, results and failures, Spark ${version}`, async (t) => {
    t.timeout(600_000);
    await pythonTestsPass(t, pythonOf(version), [...PURE, ...WITH_SPARK]);
  });
}
