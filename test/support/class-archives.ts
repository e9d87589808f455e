/**
 * Class archives (Java's AppCDS) of the Sparks that tests start: set-up makes them once, because a start
 * and a first query take twice the CPU time without one.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { classArchivePath, makeClassArchive } from '../../src/discovery/local/class-archive.js';
import type { SparkCommandOptions } from '../../src/discovery/local/spark-command.js';
import { systemClock } from '../../src/model/clock.js';
import type { ObservedDriver } from '../../src/model/driver.js';
import { unusedRange } from './loopback.js';
import { PySpark, type PySparkVersion } from './pyspark.js';
import { RowGate } from './row-gate.js';
import { sparkHome } from './spark-home.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** An archive is for a Spark; making one removes others from its folder. */
function archivesOf(version: PySparkVersion): string {
  return join(root, '.local/class-archives', version);
}

/** For `SparkCommandOptions`; a path without a file is no error. */
export function classArchive(version: PySparkVersion, spark: SparkCommandOptions): string {
  return classArchivePath(archivesOf(version), spark);
}

/** Puts them where a gateway with this state folder looks for its own. */
export function shareClassArchives(stateFolder: string): void {
  const folder = join(stateFolder, 'class-archives');
  mkdirSync(folder, { recursive: true });
  for (const archives of (['4', '3.5'] as const).map(archivesOf)) {
    if (!existsSync(archives)) continue;
    for (const name of readdirSync(archives).filter((one) => one.endsWith('.jsa'))) {
      symlinkSync(join(archives, name), join(folder, name));
    }
  }
}

/** What most tests do with a driver. */
async function use(version: PySparkVersion, { address, port, token }: ObservedDriver) {
  const pyspark = await PySpark.start(version);
  const gate = new RowGate();
  try {
    await pyspark.connect(
      'a',
      `sc://${address}:${port}/;user_id=a;authorization=Bearer%20${token}`,
    );
    await pyspark.conf('a', 'spark.sql.shuffle.partitions', '1');
    await pyspark.createTempView('a', 'view', 'SELECT 1 AS one');
    await pyspark.sql('a', 'SELECT * FROM view');
    await pyspark.toPandas('a', 1000);
    await pyspark.createDataFrame('a', 1);
    gate.open(0);
    await pyspark.gated('a', gate, 1).result;
    await pyspark.interrupt('a');
    await pyspark.stop('a');
  } finally {
    gate.remove();
    await pyspark.kill();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const javaHome = process.env['JAVA_HOME'];
  for (const version of process.argv.slice(2) as PySparkVersion[]) {
    await makeClassArchive({
      // Java takes it for a longer class path, too: that of drivers with the fence.
      spark: {
        sparkHome: sparkHome(version),
        ...(javaHome === undefined ? {} : { javaHome }),
        fence: false,
      },
      folder: archivesOf(version),
      addressRange: await unusedRange(),
      clock: systemClock,
      log: pino(),
      use: (driver) => use(version, driver),
    });
  }
}
