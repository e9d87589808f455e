/** The last complete configuration of the Envoy beside this process: in memory and in a file. */
import type { Logger } from 'pino';
import { readIfThere } from '../../files/read.js';
import { removeUnfinished, replaceFile } from '../../files/replace.js';
import type { Clock, Timer } from '../../model/clock.js';
import { reasonOf } from '../../model/errors.js';
import { decodeSnapshot, encodeSnapshot, type Snapshot } from './snapshot.js';

export interface KeptConfigurationOptions {
  /** Its folder exists. The file holds private keys: it is for its owner's eyes only. */
  readonly file: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Changes that come within this time are written together. */
const WRITE_AFTER_MS = 1_000;
/** A larger configuration is kept in memory only; 5,000 drivers in 1,000 namespaces are below 2 MiB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

export class KeptConfiguration {
  readonly #options: KeptConfigurationOptions;
  #snapshot: Snapshot | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: KeptConfigurationOptions, snapshot: Snapshot | undefined) {
    this.#options = options;
    this.#snapshot = snapshot;
  }

  /** A file that is missing or cannot be used counts as none. */
  static async open(options: KeptConfigurationOptions): Promise<KeptConfiguration> {
    return new KeptConfiguration(options, await readKept(options));
  }

  /** Undefined while no Envoy has had a complete configuration. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Takes the configuration that `read` gives, a moment from now; undefined leaves what is kept. */
  keepSoon(read: () => Snapshot | undefined): void {
    this.#timer ??= this.#options.clock.setTimer(WRITE_AFTER_MS, () => {
      this.#timer = undefined;
      this.keep(read());
    });
  }

  /** Takes a configuration now and writes it in the background; undefined leaves what is kept. */
  keep(snapshot: Snapshot | undefined): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!snapshot) return;
    this.#snapshot = snapshot;
    this.#writing = this.#writing.then(async () => {
      if (this.#snapshot === snapshot) await this.#write(snapshot);
    });
  }

  /** Resolves when what is kept is on disk. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#writing;
  }

  async #write(snapshot: Snapshot): Promise<void> {
    const { file, logger } = this.#options;
    const bytes = encodeSnapshot(snapshot);
    if (bytes.length > MAX_FILE_BYTES) {
      logger.error({ bytes: bytes.length }, "Envoy's configuration is too large to be kept");
      return;
    }
    try {
      await removeUnfinished(file);
      await replaceFile(file, bytes);
    } catch (error) {
      logger.error({ err: error, file }, "Envoy's configuration cannot be kept for its next start");
    }
  }
}

async function readKept({ file, logger }: KeptConfigurationOptions): Promise<Snapshot | undefined> {
  try {
    const bytes = await readIfThere(file);
    return bytes && decodeSnapshot(bytes);
  } catch (error) {
    logger.warn({ file, reason: reasonOf(error) }, "Envoy's kept configuration cannot be used");
    return undefined;
  }
}
