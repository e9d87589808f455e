/** A copy of the last good policy on this machine's disk, for a start while its source is bad or away. */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { reasonOf } from '../model/errors.js';

export class KeptPolicy {
  readonly #file: string;
  readonly #logger: Logger;
  #wanted: string | undefined;
  #written: string | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
  }

  /** Where it is, for messages. */
  get file(): string {
    return this.#file;
  }

  /** undefined: there is none that can be read. */
  async read(): Promise<string | undefined> {
    try {
      return await readFile(this.#file, 'utf8');
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!missing) {
        this.#logger.warn(
          { file: this.#file, reason: reasonOf(error) },
          'the kept policy cannot be read',
        );
      }
      return undefined;
    }
  }

  /** Writes in the background; of several the newest. */
  keep(text: string): void {
    this.#wanted = text;
    this.#writing = this.#writing.then(() => this.#write());
  }

  /** Resolves when what was to be kept is on disk. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    const text = this.#wanted;
    if (text === undefined || text === this.#written) return;
    try {
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
      await replaceFile(this.#file, text);
      this.#written = text;
    } catch (error) {
      this.#logger.error(
        { err: error, file: this.#file },
        'the policy cannot be kept for the next start',
      );
    }
  }
}

/** The file is the former or the new one at any moment, also after a crash. */
async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
