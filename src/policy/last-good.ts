/** The policy in force: what a source of policies has found good last. */
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import type { PolicyRevision } from '../model/reports.js';

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
