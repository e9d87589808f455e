/** Records as lines of a file that is left for a new one when it is large or old enough. */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import type { AuditLine, AuditWriter } from './destination.js';
import {
  type CurrentFile,
  isFull,
  rotatedName,
  type RotationLimits,
  surplusFiles,
} from './file-rotation.js';
import { mendLastLine } from './torn-line.js';

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

const SYNC_DELAY_MS = 1_000;

interface OpenFile extends CurrentFile {
  readonly handle: FileHandle;
  readonly inode: number;
  sizeBytes: number;
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

  async write(batch: readonly AuditLine[]): Promise<number> {
    let file = (this.#file ??= await this.#open());
    if (await this.#wasMoved(file)) file = await this.#reopen(file);
    const text = batch.map(({ line }) => line).join('');
    const bytes = Buffer.from(text);
    if (isFull(file, bytes.length, this.#o.clock.now(), this.#o.limits)) {
      file = await this.#rotate(file);
    }
    await this.#append(file, bytes);
    if (this.#o.sync === 'second') this.#syncLater();
    return 0;
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
      return { handle, inode: ino, sizeBytes: size, bornAtMs: birthtimeMs };
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
