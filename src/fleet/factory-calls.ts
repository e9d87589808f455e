/** Calls to the factory, which go on beside the reconciliation. */
import pLimit from 'p-limit';
import type { Clock } from '../model/clock.js';
import type { Resource } from './fleet-plan.js';

/** The others wait for their turn. */
const CALLS_AT_ONCE = 32;

/** Calls beside the reconciliation, some at a time. */
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

interface Call extends Resource {
  /** From when on the next list shows its result. */
  overAtMs: number | undefined;
}

/** Calls that count as under way until a list that began after their end has been read. */
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
