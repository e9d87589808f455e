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

  async timer(delayMs: number): Promise<void> {
    while ((await this.timers.next()) !== delayMs);
  }
}
