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

// Calls to the factory that run beside the reconciliation. A call counts as under way until a list
// that began after its end has been read.

/** The others wait for their turn, and count as under way. */
const CALLS_AT_ONCE = 32;

interface Call extends Resource {
  /** From when on the next list shows its result. */
  overAtMs: number | undefined;
}

export class Background {
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  readonly #calls = new Map<string, Call>();
  readonly #running = new Set<Promise<void>>();
  readonly #inTurn = pLimit(CALLS_AT_ONCE);
  #stopped = false;

  constructor(clock: Clock, onEnd: () => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /**
   * Runs `work` unless a call for the same resource is under way. At its turn, when `isAllowed` says no
   * or `stop` was called, nothing is done.
   */
  start(
    resource: Resource,
    work: () => Promise<void>,
    isAllowed: () => boolean,
    onFailure: (error: unknown) => void,
  ): void {
    if (this.#calls.has(resource.resource)) return;
    const call: Call = { ...resource, overAtMs: undefined };
    this.#calls.set(resource.resource, call);
    const begin = () => (this.#stopped || !isAllowed() ? Promise.resolve() : work());
    const run = this.#run(call, begin, onFailure).finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  async #run(
    call: Call,
    begin: () => Promise<void>,
    onFailure: (error: unknown) => void,
  ): Promise<void> {
    try {
      await this.#inTurn(begin);
      call.overAtMs = this.#clock.now();
    } catch (error) {
      call.overAtMs = this.#clock.now();
      onFailure(error);
    }
    this.#onEnd();
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
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}
