/** The policy in force: read from a file, replaced when the file changes, kept when it turns bad. */
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { readNamedText } from '../../lib/files/files.js';
import type { Clock, Timer } from '../../model/clock.js';
import { toGatewayError } from '../../model/errors.js';
import type { Policy } from '../../model/policy.js';
import { compileAside, type CompiledPolicy, NewestPolicy } from '../aside/compile-aside.js';
import type { PolicyOptions } from '../compile.js';
import { LastGoodPolicy, type PolicySource, type PolicyStatus } from './last-good.js';

export interface PolicyFileOptions {
  readonly compile: PolicyOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A change often comes as several events: they are read once. */
const SETTLE_MS = 50;
/** Some file systems tell of no change, and a link may lead out of the watched directory. */
const LOOK_AGAIN_MS = 5000;

export class PolicyFile implements PolicySource {
  readonly #path: string;
  readonly #options: PolicyFileOptions;
  readonly #lastGood: LastGoodPolicy;
  readonly #newest: NewestPolicy;
  /** As last read, good or bad. */
  #text: string | undefined;
  /** What was read last is in force or refused when this resolves. */
  #judging: Promise<void> = Promise.resolve();
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  /** Reads the policy and watches its file. Rejects with POLICY_INVALID if it is not good now. */
  static async open(path: string, options: PolicyFileOptions): Promise<PolicyFile> {
    const written = { text: await readPolicy(path), file: path };
    return new PolicyFile(path, options, await compileAside(written, options.compile));
  }

  private constructor(path: string, options: PolicyFileOptions, { policy, text }: CompiledPolicy) {
    this.#path = path;
    this.#options = options;
    this.#text = text;
    const { clock, compile, logger } = options;
    this.#newest = new NewestPolicy(compile);
    this.#lastGood = new LastGoodPolicy({ what: 'the policy file', clock, logger });
    this.#lastGood.take(policy, text);
    this.#watch();
    this.#lookIn(LOOK_AGAIN_MS);
  }

  get source(): string {
    return this.#path;
  }

  get current(): Policy {
    return this.#lastGood.current;
  }

  get status(): PolicyStatus {
    return this.#lastGood.status;
  }

  onChange(listener: (policy: Policy) => void): () => void {
    return this.#lastGood.onChange(listener);
  }

  /**
   * Reads the file now and resolves when its content is in force or refused, or overtaken by a newer
   * one. Until then the policy before it decides.
   */
  async reload(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#read());
    await this.#reading;
    await this.#judging;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watcher?.close();
    this.#newest.giveUp();
    this.#lastGood.close();
  }

  async #read(): Promise<void> {
    try {
      const text = await readPolicy(this.#path);
      if (this.#closed || text === this.#text) return;
      this.#text = text;
      this.#judging = this.#judge(text);
    } catch (thrown) {
      if (this.#closed) return;
      this.#text = undefined;
      this.#newest.giveUp();
      this.#lastGood.refuse(toGatewayError(thrown).message);
    }
  }

  async #judge(text: string): Promise<void> {
    try {
      const compiled = await this.#newest.compile({ text, file: this.#path });
      if (compiled) this.#lastGood.take(compiled.policy, compiled.text);
    } catch (thrown) {
      this.#lastGood.refuse(toGatewayError(thrown).message);
    }
  }

  /**
   * Watches the directory: editors and ConfigMap volumes replace the file, or a link on the way to
   * it, by a rename, which a watch of the file itself would lose.
   */
  #watch(): void {
    try {
      this.#watcher = watch(dirname(this.#path), { persistent: false }, () =>
        this.#lookIn(SETTLE_MS),
      );
      this.#watcher.on('error', (error) => {
        this.#options.logger.warn({ err: error }, 'the policy file is looked at by time only');
        this.#watcher?.close();
      });
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'the policy file is looked at by time only');
    }
  }

  #lookIn(delayMs: number): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#lookIn(LOOK_AGAIN_MS);
      void this.reload();
    });
  }
}

async function readPolicy(path: string): Promise<string> {
  return readNamedText(path, 'POLICY_INVALID', 'the policy file');
}
