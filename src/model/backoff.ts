/** Pauses between attempts: they double from `firstMs` to `longestMs`, each shortened at random by up to half, so that many clients do not come back at once. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(firstMs: number, longestMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#random = random;
  }

  /** The pause before the next attempt, milliseconds. `atLeastMs` is what the other side asked for. */
  next(atLeastMs = 0): number {
    const fullMs = Math.min(this.#longestMs, this.#firstMs * 2 ** this.#failures);
    this.#failures += 1;
    return Math.max(atLeastMs, fullMs * (1 - this.#random() / 2));
  }

  /** An attempt succeeded. */
  reset(): void {
    this.#failures = 0;
  }
}
