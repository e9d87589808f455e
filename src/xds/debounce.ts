import type { Clock, Timer } from '../model/clock.js';

export interface DebounceOptions {
  /** How long it must have been quiet, milliseconds. */
  readonly quietMs: number;
  /** The longest delay after the first call, however many follow, milliseconds. */
  readonly maxMs: number;
}

/** Puts a burst of calls together into one. */
export class Debounce {
  readonly #clock: Clock;
  readonly #options: DebounceOptions;
  readonly #action: () => void;
  #timer: Timer | undefined;
  #latestMs = 0;

  constructor(clock: Clock, options: DebounceOptions, action: () => void) {
    this.#clock = clock;
    this.#options = options;
    this.#action = action;
  }

  call(): void {
    const now = this.#clock.now();
    if (this.#timer) this.#timer.cancel();
    else this.#latestMs = now + this.#options.maxMs;
    this.#timer = this.#clock.setTimer(
      Math.min(this.#options.quietMs, this.#latestMs - now),
      () => {
        this.#timer = undefined;
        this.#action();
      },
    );
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
