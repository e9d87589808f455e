/** Where batch jobs leave their results, and how they are read: by the leader and by the Runner alike. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openStorage, type Storage } from '../lib/storage/storage.js';
import type { Settings } from '../settings/table.js';

/** Ends with "/". undefined: there are no batch jobs. */
export function batchOutputUrl({ batch, drivers, stateDir }: Settings): string | undefined {
  if (batch.outputUrl !== undefined) return batch.outputUrl;
  if (drivers.source !== 'local') return undefined;
  return `${pathToFileURL(join(stateDir, 'batch', 'output')).href}/`;
}

/** Whether jobs may read and write files of the machine that they run on. */
export function takesLocalPaths(settings: Settings): boolean {
  return batchOutputUrl(settings)?.startsWith('file:') === true;
}

export function batchResults(settings: Settings): Storage {
  const { s3Endpoint: endpoint, s3Region: region, s3PathStyle: pathStyle } = settings.batch;
  const url = batchOutputUrl(settings);
  return openStorage({
    folders: url?.startsWith('file:') === true ? [fileURLToPath(url)] : [],
    s3: { endpoint, region, pathStyle },
  });
}
