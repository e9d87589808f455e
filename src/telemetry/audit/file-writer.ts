/** Records as lines of a file that is left for a new one when it is large or old enough. */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import type { AuditLine, AuditWriter, NotTaken } from './destination.js';

/** When written lines are made durable: before a batch counts as written, a second later, or when the system likes. */
export type FileSync = 'batch' | 'second' | 'never';

export interface FileWriterOptions {
  readonly path: string;
  readonly limits: RotationLimits;
  readonly sync: FileSync;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In place of the file system's own. */
  readonly openFile?: typeof open;
}

/** Of a file's size: what nobody verified stands behind makes no file of others be left and removed. */
const UNVERIFIED_SHARE = 1 / 10;
const SYNC_DELAY_MS = 1_000;

interface OpenFile extends CurrentFile {
  readonly handle: FileHandle;
  readonly inode: number;
  sizeBytes: number;
  /** Written to it, by this process, of what no verified principal stands behind. */
  unverifiedBytes: number;
}

export class FileWriter implements AuditWriter {
  readonly #o: FileWriterOptions;
  #file: OpenFile | undefined;
  #syncTimer: Timer | undefined;

  private constructor(options: FileWriterOptions) {
    this.#o = options;
  }

  /** Mends what a crash has left. Rejects when the file cannot be written. */
  static async open(options: FileWriterOptions): Promise<FileWriter> {
    await mkdir(dirname(options.path), { recursive: true, mode: 0o750 });
    const writer = new FileWriter(options);
    writer.#file = await writer.#open();
    await writer.#prune();
    return writer;
  }

  async write(batch: readonly AuditLine[]): Promise<NotTaken> {
    let file = (this.#file ??= await this.#open());
    if (await this.#wasMoved(file)) file = await this.#reopen(file);
    let part = this.#withinShare(batch, file);
    if (isFull(file, part.bytes.length, this.#o.clock.now(), this.#o.limits)) {
      file = await this.#rotate(file);
      part = this.#withinShare(batch, file);
    }
    await this.#append(file, part.bytes);
    file.unverifiedBytes += part.unverifiedBytes;
    if (this.#o.sync === 'second') this.#syncLater();
    return { unverified: batch.length - part.lines };
  }

  /** What of a batch is written to this file. */
  #withinShare(batch: readonly AuditLine[], file: OpenFile) {
    const most = this.#o.limits.sizeBytes * UNVERIFIED_SHARE - file.unverifiedBytes;
    let unverifiedBytes = 0;
    const lines: string[] = [];
    for (const { line, bytes, unverified } of batch) {
      if (unverified) {
        if (unverifiedBytes + bytes > most) continue;
        unverifiedBytes += bytes;
      }
      lines.push(line);
    }
    return { bytes: Buffer.from(lines.join('')), lines: lines.length, unverifiedBytes };
  }

  async close(): Promise<void> {
    this.#syncTimer?.cancel();
    const file = this.#file;
    this.#file = undefined;
    if (!file) return;
    if (this.#o.sync !== 'never') await file.handle.datasync();
    await file.handle.close();
  }

  async #open(): Promise<OpenFile> {
    const { path, openFile = open, logger } = this.#o;
    const handle = await openFile(path, 'a+', 0o640);
    try {
      if (!(await handle.stat()).isFile()) throw new Error(`${path} is not a regular file`);
      const cut = await mendLastLine(handle);
      if (cut > 0) logger.warn({ path, bytes: cut }, 'an unfinished audit record was cut off');
      const { size, birthtimeMs, ino } = await handle.stat();
      return { handle, inode: ino, sizeBytes: size, unverifiedBytes: 0, bornAtMs: birthtimeMs };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** All or nothing: half a line would make what follows unreadable. */
  async #append(file: OpenFile, bytes: Buffer): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await file.handle.write(bytes, at, bytes.length - at);
        at += bytesWritten;
      }
      if (this.#o.sync === 'batch') await file.handle.datasync();
      file.sizeBytes += bytes.length;
    } catch (error) {
      // Should this fail, too, the next opening mends it.
      await file.handle.truncate(file.sizeBytes).catch(() => this.#abandon(file));
      throw error;
    }
  }

  async #abandon(file: OpenFile): Promise<void> {
    this.#file = undefined;
    await file.handle.close().catch(() => undefined);
  }

  /** Whether the path leads elsewhere, as after logrotate has renamed the file. */
  async #wasMoved(file: OpenFile): Promise<boolean> {
    try {
      return (await stat(this.#o.path)).ino !== file.inode;
    } catch {
      return true;
    }
  }

  async #reopen(file: OpenFile): Promise<OpenFile> {
    if (this.#o.sync !== 'never') await file.handle.datasync();
    await this.#abandon(file);
    return (this.#file = await this.#open());
  }

  async #rotate(file: OpenFile): Promise<OpenFile> {
    const { path, clock } = this.#o;
    const folder = dirname(path);
    const name = rotatedName(basename(path), clock.now(), await readdir(folder));
    await rename(path, join(folder, name));
    const next = await this.#reopen(file);
    await this.#prune();
    return next;
  }

  async #prune(): Promise<void> {
    const { path, limits, logger } = this.#o;
    const folder = dirname(path);
    try {
      for (const name of surplusFiles(basename(path), await readdir(folder), limits.keep)) {
        await rm(join(folder, name), { force: true });
      }
    } catch (error) {
      logger.warn({ path, err: error }, 'old audit files cannot be removed');
    }
  }

  #syncLater(): void {
    this.#syncTimer ??= this.#o.clock.setTimer(SYNC_DELAY_MS, () => {
      this.#syncTimer = undefined;
      this.#file?.handle.datasync().catch((error: unknown) => {
        this.#o.logger.error(
          { path: this.#o.path, err: error },
          'audit records may not be durable',
        );
      });
    });
  }
}

// Which file of a log is which: `<path>` is written, `<path>.<UTC time>` were written before it.

interface RotationLimits {
  /** A file is left when it would grow beyond this. */
  readonly sizeBytes: number;
  /** A file is left when it is as old as this, milliseconds. */
  readonly ageMs: number;
  /** Files that are kept beside the one that is written. */
  readonly keep: number;
}

interface CurrentFile {
  readonly sizeBytes: number;
  readonly bornAtMs: number;
}

const STAMP = /^\.\d{8}T\d{9}Z(-\d{4})?$/;

/** Whether `moreBytes` belong into a new file. An empty file is never left. */
function isFull(
  file: CurrentFile,
  moreBytes: number,
  nowMs: number,
  limits: RotationLimits,
): boolean {
  if (file.sizeBytes === 0) return false;
  return file.sizeBytes + moreBytes > limits.sizeBytes || nowMs - file.bornAtMs >= limits.ageMs;
}

/** A name for the file that is left now, later in order than all that there are. */
export function rotatedName(name: string, nowMs: number, existing: readonly string[]): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '');
  const newest = rotatedFiles(name, existing).at(-1) ?? '';
  const wanted = `${name}.${stamp}`;
  // Names of the same millisecond, or made before the clock was set back.
  if (wanted > newest && !newest.startsWith(wanted)) return wanted;
  const [, base = wanted, number = '0'] = /^(.*Z)(?:-(\d{4}))?$/.exec(newest) ?? [];
  return `${base}-${String(Number(number) + 1).padStart(4, '0')}`;
}

/** Of the names in a folder those that were written before `name`, the oldest first. */
export function rotatedFiles(name: string, inFolder: readonly string[]): string[] {
  return inFolder
    .filter((file) => file.startsWith(name) && STAMP.test(file.slice(name.length)))
    .toSorted();
}

/** Those that are too many. */
export function surplusFiles(name: string, inFolder: readonly string[], keep: number): string[] {
  const files = rotatedFiles(name, inFolder);
  return files.slice(0, Math.max(0, files.length - keep));
}

/** Longer than any record. */
const LONGEST_LINE = 256 * 1024;

/**
 * Makes a file of JSON lines end with a whole line: a crash may have left half of one, which would
 * make the next unreadable. The file is open for reading and appending.
 * @returns the bytes that were cut off
 */
async function mendLastLine(handle: FileHandle): Promise<number> {
  const { size } = await handle.stat();
  if (size === 0) return 0;
  const length = Math.min(size, LONGEST_LINE);
  const end = Buffer.alloc(length);
  await handle.read(end, 0, length, size - length);
  const lastLine = end.subarray(end.lastIndexOf('\n') + 1);
  if (lastLine.length === 0) return 0;
  if (isRecord(lastLine)) {
    await handle.write('\n');
    return 0;
  }
  await handle.truncate(size - lastLine.length);
  return lastLine.length;
}

function isRecord(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}
