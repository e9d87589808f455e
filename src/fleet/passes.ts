/** When the next pass of a reconciliation is made. One runs at a time. */
import type { Clock, Timer } from '../model/clock.js';

/** Events within this time cause one pass. */
const COALESCE_MS = 20;

export class Passes {
  readonly #clock: Clock;
  readonly #pass: () => Promise<void>;
  #next: { readonly dueMs: number; readonly timer: Timer } | undefined;
  #running: Promise<void> | undefined;
  /** Within which time after the running pass another one is to be made. */
  #againWithinMs: number | undefined;
  /** While it runs, no pass begins. */
  #resting: Timer | undefined;
  #overdue = false;
  #stopped = false;

  constructor(clock: Clock, pass: () => Promise<void>) {
    this.#clock = clock;
    this.#pass = pass;
  }

  /** Asks for a pass that begins after now, within this time. */
  trigger(withinMs = COALESCE_MS): void {
    if (this.#running) this.#againWithinMs = Math.min(this.#againWithinMs ?? withinMs, withinMs);
    else this.wakeAt(this.#clock.now() + withinMs);
  }

  /** Asks for a pass at this time at the latest, milliseconds since the epoch. */
  wakeAt(dueMs: number): void {
    if (this.#stopped || (this.#next && this.#next.dueMs <= dueMs)) return;
    this.#next?.timer.cancel();
    const timer = this.#clock.setTimer(dueMs - this.#clock.now(), () => {
      this.#next = undefined;
      void this.#run();
    });
    this.#next = { dueMs, timer };
  }

  /** From now on no pass begins for so long; what is asked for meanwhile begins then. */
  rest(ms: number): void {
    this.#resting?.cancel();
    this.#resting = undefined;
    if (this.#stopped || ms <= 0) return;
    this.#resting = this.#clock.setTimer(ms, () => {
      this.#resting = undefined;
      if (this.#overdue) void this.#run();
    });
  }

  /** Resolves when none runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#next?.timer.cancel();
    this.#resting?.cancel();
    await this.#running;
  }

  async #run(): Promise<void> {
    if (this.#running) return this.trigger();
    this.#overdue = this.#resting !== undefined;
    if (this.#overdue) return;
    this.#againWithinMs = undefined;
    this.#running = this.#pass();
    await this.#running;
    this.#running = undefined;
    if (this.#againWithinMs !== undefined) this.trigger(this.#againWithinMs);
  }
}
