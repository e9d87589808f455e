/** Record writes that a plan has begun. Later plans are made meanwhile, from records as memory shows them. */
import type { Write } from './apply-plan.js';

export interface PendingWritesOptions {
  /** Called when a write is durable, or with why it failed: then its record is as it was before. */
  readonly onSettled: (error?: unknown) => void;
  /** Called when nothing of a driver that `isPending` was asked about is pending any more. */
  readonly onEnd: () => void;
}

export class PendingWrites {
  readonly #options: PendingWritesOptions;
  /** How many there are, by driver. */
  readonly #pending = new Map<string, number>();
  readonly #awaited = new Set<string>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: PendingWritesOptions) {
    this.#options = options;
  }

  add(writes: readonly Write[]): void {
    for (const { driver, done } of writes) {
      this.#pending.set(driver, (this.#pending.get(driver) ?? 0) + 1);
      const running = done
        .then(
          () => this.#options.onSettled(),
          (error: unknown) => this.#options.onSettled(error),
        )
        .finally(() => {
          this.#running.delete(running);
          this.#ended(driver);
        });
      this.#running.add(running);
    }
  }

  /** Whether what memory shows of the driver is not durable yet. `driver`: its resource, else its uid. */
  isPending(driver: string): boolean {
    const pending = this.#pending.has(driver);
    if (pending) this.#awaited.add(driver);
    return pending;
  }

  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #ended(driver: string): void {
    const left = (this.#pending.get(driver) ?? 1) - 1;
    if (left > 0) {
      this.#pending.set(driver, left);
      return;
    }
    this.#pending.delete(driver);
    if (this.#awaited.delete(driver)) this.#options.onEnd();
  }
}
