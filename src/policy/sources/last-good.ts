/** The policy in force: what a source of policies has found good last. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { readTextIfThere, removeUnfinished, replaceFile } from '../../lib/files/files.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { Policy } from '../../model/policy.js';
import type { PolicyRevision } from '../../model/reports.js';

export interface PolicyStatus extends PolicyRevision {
  /** Why what the source says now is not in force: every mistake, one on each line. */
  readonly error: string | undefined;
}

/** Where a process has its policy from. Whatever happens there, `current` is a whole and good one. */
export interface PolicySource {
  /** Where the policy comes from, for people. */
  readonly source: string;
  readonly current: Policy;
  readonly status: PolicyStatus;
  /** Calls back when a new policy is in force, and when the source turns bad or good again. Returns a function that ends it. */
  onChange(listener: (policy: Policy) => void): () => void;
  close(): void | Promise<void>;
}

export interface LastGoodOptions {
  /** For messages, such as `the policy file`. */
  readonly what: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const NONE: PolicyStatus = { version: '', loadedAtMs: 0, text: '', error: undefined };

export class LastGoodPolicy {
  readonly #options: LastGoodOptions;
  readonly #listeners = new Set<(policy: Policy) => void>();
  #policy: Policy | undefined;
  #status = NONE;

  constructor(options: LastGoodOptions) {
    this.#options = options;
  }

  get isThere(): boolean {
    return this.#policy !== undefined;
  }

  /** Throws CONTROL_PLANE_UNAVAILABLE while there is none. */
  get current(): Policy {
    if (this.#policy) return this.#policy;
    throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'The gateway has no policy yet.');
  }

  get status(): PolicyStatus {
    return this.#status;
  }

  onChange(listener: (policy: Policy) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves with true when there is a policy, and with false when the signal fires before that. */
  async arrived(signal: AbortSignal): Promise<boolean> {
    if (this.#policy || signal.aborted) return this.#policy !== undefined;
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      const stop = this.onChange(() => {
        stop();
        resolve();
      });
    });
    return this.#policy !== undefined;
  }

  /** Puts a good policy in force. */
  take(policy: Policy, text: string): void {
    this.#policy = policy;
    const { version } = policy;
    this.#status = { version, loadedAtMs: this.#options.clock.now(), text, error: undefined };
    this.#options.logger.info({ version }, 'policy loaded');
    this.#tellAll(policy);
  }

  /** What the source says now is bad: what is in force stays. */
  refuse(error: string): void {
    if (error === this.#status.error) return;
    this.#status = { ...this.#status, error };
    const { logger, what } = this.#options;
    if (this.#policy) {
      logger.error(
        { error, version: this.#status.version },
        `${what} is not good; the policy loaded before stays in force`,
      );
      this.#tellAll(this.#policy);
    } else {
      logger.error({ error }, `${what} is not good, and there was no policy before`);
    }
  }

  close(): void {
    this.#listeners.clear();
  }

  #tellAll(policy: Policy): void {
    for (const listener of this.#listeners) {
      try {
        listener(policy);
      } catch (error) {
        this.#options.logger.error({ err: error }, 'a change of policy was not taken over');
      }
    }
  }
}

// A copy of the last good policy on this machine's disk, for a start while its source is bad or away.

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

// The policies that were in force since this process began.

const KEPT = 20;

export class PolicyHistory {
  #revisions: readonly PolicyRevision[] = [];

  /** To be called with what is in force; the same revision again changes nothing. */
  note({ version, loadedAtMs, text }: PolicyRevision): void {
    if (this.#revisions[0]?.version === version) return;
    this.#revisions = [{ version, loadedAtMs, text }, ...this.#revisions].slice(0, KEPT);
  }

  /** Newest first. */
  get revisions(): readonly PolicyRevision[] {
    return this.#revisions;
  }
}
