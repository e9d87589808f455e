/** A copy of the last good policy on this machine's disk, for a start while its source is bad or away. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { readTextIfThere } from '../files/read.js';
import { removeUnfinished, replaceFile } from '../files/replace.js';
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
      return await readTextIfThere(this.#file);
    } catch (error) {
      this.#logger.warn(
        { file: this.#file, reason: reasonOf(error) },
        'the kept policy cannot be read',
      );
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
      await removeUnfinished(this.#file);
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
