/**
 * A budget for what is written down of requests that no verified principal stands behind. Anybody can
 * make as many of those as they like: they are counted, and some of them are written.
 */
import type { Clock, Timer } from './clock.js';

export interface UnverifiedSampleOptions {
  readonly clock: Clock;
  /** Told once a minute at most, of what was left out since the last time. */
  readonly onOmitted: (omitted: Omitted) => void;
}

export interface Omitted {
  /** When the minute began. */
  readonly sinceMs: number;
  readonly count: number;
  /** How many of each kind. */
  readonly kinds: Readonly<Record<string, number>>;
}

const WINDOW_MS = 60_000;
/** In a minute, of all together and of one client: nobody makes the others' invisible. */
const MOST = 60;
const MOST_OF_CLIENT = 10;

export class UnverifiedSample {
  readonly #o: UnverifiedSampleOptions;
  /** Of each client that has one at all. */
  readonly #taken = new Map<string, number>();
  readonly #omitted = new Map<string, number>();
  #total = 0;
  #sinceMs = 0;
  #timer: Timer | undefined;

  constructor(options: UnverifiedSampleOptions) {
    this.#o = options;
  }

  /**
   * Whether this one is written down.
   *
   * @param client IP address
   * @param kind one of a few, such as the code of a refusal; never a text of the client's
   */
  take(client: string | undefined, kind: string): boolean {
    const { clock } = this.#o;
    if (!this.#timer) {
      this.#sinceMs = clock.now();
      this.#timer = clock.setTimer(WINDOW_MS, () => this.flush());
    }
    const key = client ?? '';
    const taken = this.#taken.get(key) ?? 0;
    if (this.#total < MOST && taken < MOST_OF_CLIENT) {
      this.#total += 1;
      this.#taken.set(key, taken + 1);
      return true;
    }
    this.#omitted.set(kind, (this.#omitted.get(kind) ?? 0) + 1);
    return false;
  }

  /** Ends the minute before its time, as at the end of the process. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const kinds = Object.fromEntries(this.#omitted);
    let count = 0;
    for (const number of this.#omitted.values()) count += number;
    this.#taken.clear();
    this.#omitted.clear();
    this.#total = 0;
    if (count > 0) this.#o.onOmitted({ sinceMs: this.#sinceMs, count, kinds });
  }
}
