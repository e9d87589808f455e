/** Objects that are files, and folders of them, below folders that are known: whoever writes there cannot lead elsewhere. */
import { constants } from 'node:fs';
import { open, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GatewayError, hasCode, reasonOf } from '../../model/errors.js';

/** Neither a link that appears after the look nor a pipe without a writer is waited for. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** undefined: there is none. Rejects with RESULTS_UNREADABLE. */
export async function readFileBelow(
  folders: readonly string[],
  url: URL,
  maxBytes: number,
): Promise<Buffer | undefined> {
  try {
    const path = await realpath(pathOf(url));
    const roots = await Promise.all(folders.map((folder) => realpath(folder).catch(() => folder)));
    if (!roots.some((root) => isBelow(root, path))) {
      throw unreadable(url, 'it is in none of the folders that results are read from');
    }
    return await readBounded(path, url, maxBytes);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    if (error instanceof GatewayError) throw error;
    throw unreadable(url, reasonOf(error), error);
  }
}

/**
 * Deletes a folder with all that is in it; links there are deleted, not followed. It may be missing.
 * Rejects where it is not below `root`, or cannot be deleted as a whole.
 */
export async function deleteFolderBelow(root: string, url: URL): Promise<void> {
  const path = fileURLToPath(url);
  let real: string;
  try {
    real = join(await realpath(dirname(path)), basename(path));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  if (!isBelow(await realpath(root), real)) {
    throw new Error(`${url.href} is not below ${root} and stays as it is`);
  }
  await rm(real, { recursive: true, force: true });
}

function isBelow(root: string, path: string): boolean {
  return path.startsWith(root.endsWith(sep) ? root : root + sep);
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw unreadable(url, 'it names no file of this machine', error);
  }
}

async function readBounded(path: string, url: URL, maxBytes: number): Promise<Buffer> {
  const file = await open(path, FLAGS);
  try {
    if (!(await file.stat()).isFile()) throw unreadable(url, 'it is no file');
    const buffer = Buffer.alloc(maxBytes + 1);
    let length = 0;
    while (length <= maxBytes) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
    }
    throw unreadable(url, `it has more than ${maxBytes} bytes`);
  } finally {
    await file.close();
  }
}

export function unreadable(url: URL, why: string, cause?: unknown): GatewayError {
  return new GatewayError('RESULTS_UNREADABLE', `${url.href} cannot be read: ${why}.`, { cause });
}
