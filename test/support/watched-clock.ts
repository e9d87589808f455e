import type { Timer } from '../../src/model/clock.js';
import { ManualClock } from './manual-clock.js';
import { Signal } from './signal.js';

/** Tells of every timer, so that a test can move time when something waits for it. */
export class WatchedClock extends ManualClock {
  readonly timers = new Signal<number>();

  override setTimer(delayMs: number, callback: () => void): Timer {
    this.timers.emit(delayMs);
    return super.setTimer(delayMs, callback);
  }

  /** Resolves when the next timer of this length is set from now on. */
  newTimer(delayMs: number): Promise<void> {
    while (this.timers.waiting > 0) void this.timers.next();
    return this.timer(delayMs);
  }

  async timer(delayMs: number): Promise<void> {
    while ((await this.timers.next()) !== delayMs);
  }
}
