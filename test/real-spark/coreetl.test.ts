/** What runs batch jobs, with real Sparks: its sandbox, what it writes, how it fails. */
import { existsSync } from 'node:fs';
import test from 'ava';
import { classArchive } from '../support/class-archives.js';
import { PURE, pythonTestsPass, WITH_SPARK } from '../support/coreetl-suite.js';
import { pythonOf, type PySparkVersion } from '../support/pyspark.js';
import { sparkHome } from '../support/spark-home.js';

for (const version of ['3.5', '4'] satisfies PySparkVersion[]) {
  test.serial(`batch jobs: sandbox, results and failures, Spark ${version}`, async (t) => {
    const javaHome = process.env['JAVA_HOME'];
    const spark = {
      sparkHome: sparkHome(version),
      ...(javaHome === undefined ? {} : { javaHome }),
    };
    const archive = classArchive(version, spark);
    await pythonTestsPass(
      t,
      pythonOf(version),
      [...PURE, ...WITH_SPARK],
      existsSync(archive) ? { CLASS_ARCHIVE: archive } : {},
    );
  });
}
