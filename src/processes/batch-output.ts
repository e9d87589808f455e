/** Where batch jobs leave their results, and how they are read: by the leader and by the Runner alike. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { deleteFolderBelow } from '../lib/storage/file-object.js';
import { openStorage, type Storage } from '../lib/storage/storage.js';
import type { Settings } from '../settings/table.js';

/** Ends with "/". undefined: there are no batch jobs. */
export function batchOutputUrl({ batch, drivers, stateDir }: Settings): string | undefined {
  if (batch.outputUrl !== undefined) return batch.outputUrl;
  if (drivers.source !== 'local') return undefined;
  return `${pathToFileURL(join(stateDir, 'batch', 'output')).href}/`;
}

/** How results are deleted with their job; undefined: they are where an operator wanted them, and are not ours to delete. */
export function outputDeletion(
  settings: Settings,
): ((outputPath: string) => Promise<void>) | undefined {
  const own = batchOutputUrl(settings);
  if (own === undefined || settings.batch.outputUrl !== undefined) return undefined;
  return async (outputPath) => {
    // A job of a time with other settings has them elsewhere.
    if (outputPath.startsWith(own))
      await deleteFolderBelow(fileURLToPath(own), new URL(outputPath));
  };
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
