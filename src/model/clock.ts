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
