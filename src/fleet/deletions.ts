/**
 * Deletions of drivers: each is asked for once. It is asked for again, with growing pauses, when it
 * failed or when what it should have removed is there all the same.
 */
import { Backoff, type Clock } from '../model/clock.js';
import { retryAfterOf } from '../model/errors.js';
import type { Resource } from './fleet-plan.js';
import { Turns } from './factory-calls.js';

const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 5 * 60_000;

interface Deletion extends Resource {
  readonly backoff: Backoff;
  isUnderWay: boolean;
  /** The factory has taken it on since it was begun. */
  isAccepted: boolean;
  /** Not before this moment, milliseconds since the epoch, it may be asked for again. */
  againAtMs: number;
}

export class Deletions {
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  readonly #random: (() => number) | undefined;
  readonly #deletions = new Map<string, Deletion>();
  readonly #turns = new Turns();

  /** `onEnd`: called after each attempt. */
  constructor(clock: Clock, onEnd: () => void, random?: () => number) {
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.#random = random;
  }

  /** Runs `work` at its turn, unless the pause since the last attempt is not over, `isAllowed` says no or `stop` was called. */
  start(
    resource: Resource,
    work: () => Promise<void>,
    isAllowed: () => boolean,
    onFailure: (error: unknown) => void,
  ): void {
    const name = resource.resource;
    const deletion = this.#deletions.get(name) ?? {
      ...resource,
      backoff: new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, this.#random),
      isUnderWay: false,
      isAccepted: false,
      againAtMs: 0,
    };
    if (this.#isResting(deletion)) return;
    this.#deletions.set(name, deletion);
    deletion.isUnderWay = true;
    this.#turns.start(
      async () => {
        await work();
        deletion.isAccepted = true;
      },
      isAllowed,
      () => {
        this.#rest(deletion, 0);
        this.#onEnd();
      },
      (error) => {
        this.#rest(deletion, retryAfterOf(error) ?? 0);
        onFailure(error);
        this.#onEnd();
      },
    );
  }

  /** Says what is left of drivers, after a look at everything: what is not among it need not be deleted any more. */
  left(resources: ReadonlySet<string>): void {
    for (const [name, { isUnderWay }] of this.#deletions) {
      if (!isUnderWay && !resources.has(name)) this.#deletions.delete(name);
    }
  }

  /** Those not to be asked for now. */
  resting(): ReadonlySet<string> {
    return this.#names((deletion) => this.#isResting(deletion));
  }

  /** Those that the factory has taken on. */
  accepted(): ReadonlySet<string> {
    return this.#names(({ isAccepted }) => isAccepted);
  }

  /** When the next one may be asked for again, milliseconds since the epoch. */
  nextRetryMs(): number | undefined {
    const nowMs = this.#clock.now();
    const due = [...this.#deletions.values()].flatMap(({ isUnderWay, againAtMs }) =>
      !isUnderWay && againAtMs > nowMs ? [againAtMs] : [],
    );
    return due.length === 0 ? undefined : Math.min(...due);
  }

  /** None begins any more. Resolves when those that have begun are over. */
  stop(): Promise<void> {
    return this.#turns.stop();
  }

  #rest(deletion: Deletion, atLeastMs: number): void {
    deletion.isUnderWay = false;
    deletion.againAtMs = this.#clock.now() + deletion.backoff.next(atLeastMs);
  }

  #isResting({ isUnderWay, againAtMs }: Deletion): boolean {
    return isUnderWay || this.#clock.now() < againAtMs;
  }

  #names(which: (deletion: Deletion) => boolean): ReadonlySet<string> {
    return new Set([...this.#deletions].filter(([, found]) => which(found)).map(([name]) => name));
  }
}
