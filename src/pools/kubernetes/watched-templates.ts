/** The file of driver templates as it is now: read again and again, the last good version in force. */
import type { Logger } from 'pino';
import { readNamedText } from '../../files/read.js';
import type { Clock, Timer } from '../../model/clock.js';
import { reasonOf } from '../../model/errors.js';
import type { DriverTemplate } from './template.js';
import { compileTemplates, type DriverTemplates } from './template-file.js';

export interface WatchedTemplatesOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called after another version came into force. */
  readonly onChange: () => void;
}

/** Kubernetes itself takes up to a minute to bring a changed ConfigMap into a pod. */
const REREAD_MS = 10_000;

export class WatchedTemplates implements DriverTemplates {
  readonly #options: WatchedTemplatesOptions;
  #text: string;
  #current: DriverTemplates;
  #problem: string | undefined;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(options: WatchedTemplatesOptions, text: string) {
    this.#options = options;
    this.#text = text;
    this.#current = compileTemplates(text, options.path);
    this.#readSoon();
  }

  /** Rejects with SETTINGS_INVALID when the file cannot be used. */
  static async open(options: WatchedTemplatesOptions): Promise<WatchedTemplates> {
    return new WatchedTemplates(options, await readTemplates(options.path));
  }

  readonly template = (namespace: string, variant?: string): DriverTemplate | undefined =>
    this.#current.template(namespace, variant);

  readonly trusts = (namespace: string): boolean => this.#current.trusts(namespace);

  /** Why the file as it is now is not in force. */
  get problem(): string | undefined {
    return this.#problem;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #readSoon(): void {
    this.#timer = this.#options.clock.setTimer(REREAD_MS, () => void this.#reread());
  }

  async #reread(): Promise<void> {
    const { path, logger, onChange } = this.#options;
    try {
      const text = await readTemplates(path);
      if (text !== this.#text) {
        this.#current = compileTemplates(text, path);
        this.#text = text;
        logger.info({ path }, 'driver templates read again');
        onChange();
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = reasonOf(error);
      if (problem !== this.#problem) {
        logger.error(`${problem}\nThe last good version of the driver templates stays in force.`);
      }
      this.#problem = problem;
    }
    if (!this.#closed) this.#readSoon();
  }
}

function readTemplates(path: string): Promise<string> {
  return readNamedText(path, 'SETTINGS_INVALID', 'the file of driver templates');
}
