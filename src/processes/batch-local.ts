/** Batch jobs as processes of this machine, as the settings want them. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { LocalBatch } from '../batch/local/local-batch.js';
import { sparkSubmit } from '../batch/local/spark-submit.js';
import { classArchivePath } from '../discovery/local/class-archive.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { Settings } from '../settings/table.js';
import { archivesFolder } from './own-drivers.js';

/** Where the processes and logs of local jobs are kept. */
export function localJobsFolder(settings: Settings): string {
  return join(settings.stateDir, 'batch', 'local');
}

export function openLocalJobs(
  settings: Settings,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): LocalBatch {
  const { local } = settings.batch;
  const { sparkHome, javaHome } = settings.drivers.local;
  if (sparkHome === undefined) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      'drivers.local.spark_home: no Spark is known: use "npm start", which installs one, or set SPARK_HOME',
    );
  }
  const java = javaHome === undefined ? {} : { javaHome };
  return new LocalBatch({
    stateFolder: localJobsFolder(settings),
    makeCommand: sparkSubmit({
      sparkHomes: [sparkHome, ...local.sparkHomes],
      ...java,
      classArchive: (home) =>
        classArchivePath(archivesFolder(settings), { sparkHome: home, ...java }),
      memory: `${Math.floor(local.memoryBytes / 1024 / 1024)}m`,
      sandboxPaths: local.sandboxPaths,
      conf: local.sparkConf,
    }),
    atOnce: local.jobsAtOnce,
    clock,
    log: logger,
  });
}
