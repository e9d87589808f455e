/** When the next pass of a reconciliation is made. One runs at a time. */
import pLimit from 'p-limit';
import type { Clock, Timer } from '../model/clock.js';
import type { Resource } from './fleet-plan.js';

/** Events within this time cause one pass. */
const COALESCE_MS = 20;

export class Passes {
  readonly #clock: Clock;
  readonly #pass: () => Promise<void>;
  #next: { readonly dueMs: number; readonly timer: Timer } | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  /** While it runs, no pass begins. */
  #resting: Timer | undefined;
  #overdue = false;
  #stopped = false;

  constructor(clock: Clock, pass: () => Promise<void>) {
    this.#clock = clock;
    this.#pass = pass;
  }

  /** Asks for a pass that begins after now. */
  trigger(): void {
    if (this.#running) this.#again = true;
    else this.wakeAt(this.#clock.now() + COALESCE_MS);
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
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#overdue = this.#resting !== undefined;
    if (this.#overdue) return;
    this.#again = false;
    this.#running = this.#pass();
    await this.#running;
    this.#running = undefined;
    if (this.#again) this.trigger();
  }
}

/** The others wait for their turn. */
const CALLS_AT_ONCE = 32;

/** Calls to the factory beside the reconciliation, some at a time. */
export class Turns {
  readonly #running = new Set<Promise<void>>();
  readonly #inTurn = pLimit(CALLS_AT_ONCE);
  #stopped = false;

  /**
   * Runs `work` at its turn; nothing is done when `isAllowed` says no then, or `stop` was called.
   * `over` hears of its end, `failed` of what it rejected with.
   */
  start(
    work: () => Promise<void>,
    isAllowed: () => boolean,
    over: () => void,
    failed: (error: unknown) => void,
  ): void {
    const begin = async () => {
      if (!this.#stopped && isAllowed()) await work();
    };
    const run = this.#inTurn(begin)
      .then(over, failed)
      .finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  /** No call begins any more. Resolves when those that have begun are over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

// Calls to the factory that count as under way until a list that began after their end has been read.

interface Call extends Resource {
  /** From when on the next list shows its result. */
  overAtMs: number | undefined;
}

export class Background {
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  readonly #calls = new Map<string, Call>();
  readonly #turns = new Turns();

  constructor(clock: Clock, onEnd: () => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** Runs `work` at its turn, as `Turns` does, unless a call for the same resource is under way. */
  start(
    resource: Resource,
    work: () => Promise<void>,
    isAllowed: () => boolean,
    onFailure: (error: unknown) => void,
  ): void {
    if (this.#calls.has(resource.resource)) return;
    const call: Call = { ...resource, overAtMs: undefined };
    this.#calls.set(resource.resource, call);
    const over = () => {
      call.overAtMs = this.#clock.now();
      this.#onEnd();
    };
    this.#turns.start(work, isAllowed, over, (error) => {
      call.overAtMs = this.#clock.now();
      onFailure(error);
      this.#onEnd();
    });
  }

  /** To be called before a list begins; the returned function, called after it, drops what the list must show. */
  beforeList(): () => void {
    const nowMs = this.#clock.now();
    const over = [...this.#calls.values()].filter(
      ({ overAtMs }) => overAtMs !== undefined && overAtMs <= nowMs,
    );
    return () => {
      for (const { resource } of over) this.#calls.delete(resource);
    };
  }

  /** What is under way. */
  resources(): readonly Resource[] {
    return [...this.#calls.values()];
  }

  /** No call begins any more. Resolves when those that have begun are over. */
  stop(): Promise<void> {
    return this.#turns.stop();
  }
}
