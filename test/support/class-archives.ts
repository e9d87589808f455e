/**
 * Class archives (Java's AppCDS) of the Sparks that tests start: set-up makes them once, because a start
 * takes twice the CPU time without one.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { classArchivePath, makeClassArchive } from '../../src/discovery/local/class-archive.js';
import type { SparkCommandOptions } from '../../src/discovery/local/spark-command.js';
import { systemClock } from '../../src/model/clock.js';
import { unusedRange } from './loopback.js';
import type { PySparkVersion } from './pyspark.js';
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
  const archives = archivesOf('4');
  if (!existsSync(archives)) return;
  const folder = join(stateFolder, 'class-archives');
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(archives).filter((one) => one.endsWith('.jsa'))) {
    symlinkSync(join(archives, name), join(folder, name));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const javaHome = process.env['JAVA_HOME'];
  for (const version of process.argv.slice(2) as PySparkVersion[]) {
    await makeClassArchive({
      spark: { sparkHome: sparkHome(version), ...(javaHome === undefined ? {} : { javaHome }) },
      folder: archivesOf(version),
      addressRange: await unusedRange(),
      clock: systemClock,
      log: pino(),
    });
  }
}
