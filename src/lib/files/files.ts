/** Files that need not be there, and files that a person has named. */
import { randomUUID } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  fsync,
  open as openDescriptor,
  writeFile,
} from 'node:fs';
import { readFile, link, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type ErrorCode, GatewayError, hasCode, reasonOf } from '../../model/errors.js';

/** undefined: there is no such file. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The same of a text in UTF-8. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  return (await readIfThere(path))?.toString('utf8');
}

/** A text that a person has named. Rejects with `code` and a message that calls it `what`, such as `the policy file`. */
export async function readNamedText(path: string, code: ErrorCode, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new GatewayError(code, `${path}: ${what} cannot be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

// Files that survive a crash at any moment either as they were or as they were to become.

/** Writes a file for the owner's eyes only, whole or not at all, and durable once resolved. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await replaceStamped(path, content);
}

/**
 * The same. Resolves with what `stampOf` tells of the file for as long as nobody writes to it or puts
 * another in its place.
 */
export async function replaceStamped(path: string, content: string | Uint8Array): Promise<string> {
  const { temporary, stamp } = await writeTemporary(path, content);
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
  return stamp;
}

/** Tells a file from any other that takes its place; undefined: there is none. */
export async function stampOf(path: string): Promise<string | undefined> {
  try {
    return stampFrom(await stat(path, { bigint: true }));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function stampFrom({ ino, mtimeNs, size }: BigIntStats): string {
  return `${ino} ${mtimeNs} ${size}`;
}

/** As `replaceFile`, unless there is such a file: then false. Of several that make it at once, one gets true. */
export async function createFile(path: string, content: string | Uint8Array): Promise<boolean> {
  const { temporary } = await writeTemporary(path, content);
  try {
    await link(temporary, path);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(dirname(path));
  return true;
}

/** The synchronisation of a folder that has not begun, by path. */
const nextSyncs = new Map<string, Promise<void>>();
/** The one that was asked for last, be it over or not. */
const lastSyncs = new Map<string, Promise<void>>();

/** Makes renames, links and removals in a folder durable. Those who ask while it is done share the next. */
export function syncFolder(path: string): Promise<void> {
  const waiting = nextSyncs.get(path);
  if (waiting) return waiting;
  const before = lastSyncs.get(path) ?? Promise.resolve();
  const sync = before
    .catch(() => undefined)
    .then(() => {
      nextSyncs.delete(path);
      return syncNow(path);
    })
    .finally(() => {
      if (lastSyncs.get(path) === sync) lastSyncs.delete(path);
    });
  nextSyncs.set(path, sync);
  lastSyncs.set(path, sync);
  return sync;
}

async function syncNow(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const TEMPORARY = /^\.(.+)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/** The name of the file that this one was to become, should a crash have left it of an unfinished write. */
export function unfinishedOf(name: string): string | undefined {
  return TEMPORARY.exec(name)?.[1];
}

/** Removes what a crash left of unfinished writes of a file. Only for who alone writes it, before a write. */
export async function removeUnfinished(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    if (unfinishedOf(name) === basename(path)) await rm(join(folder, name), { force: true });
  }
}

// Of plain descriptors: handles cost half as much again, and records are written for each new session.
const opened = promisify(openDescriptor);
const written = promisify(writeFile);
const synced = promisify(fsync);

/** A synced file beside `path`, to be renamed or linked to it. Its name is its own: others may write the same file. */
async function writeTemporary(
  path: string,
  content: string | Uint8Array,
): Promise<{ readonly temporary: string; readonly stamp: string }> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  const file = await opened(temporary, 'wx', 0o600);
  try {
    await written(file, content);
    const stamp = stampFrom(fstatSync(file, { bigint: true }));
    await synced(file);
    return { temporary, stamp };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}
