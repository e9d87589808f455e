/** Time as the core sees it. Tests replace it with one they move by hand. */
export interface Clock {
  /** Wall time, milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds since some moment. Never jumps; stands still while the machine sleeps. */
  monotonic(): number;
  /** Runs `callback` once, `delayMs` from now. Never keeps the process alive on its own. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, callback) {
    const handle = setTimeout(callback, Math.max(0, delayMs));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** A moment by both clocks. */
export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export function momentOf(clock: Clock): Moment {
  return { wallMs: clock.now(), monotonicMs: clock.monotonic() };
}

/**
 * How long ago it was, by the clock that is further: what may be used for so long is not used longer,
 * whether the wall clock is set back or the machine slept.
 */
export function passedMs(clock: Clock, { wallMs, monotonicMs }: Moment): number {
  return Math.max(clock.now() - wallMs, clock.monotonic() - monotonicMs);
}

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

// Times as JSON shows them.

/** RFC 3339 in UTC, with milliseconds. */
export function isoTime(ms: number): string;
export function isoTime(ms: number | undefined): string | undefined;
export function isoTime(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}
