/** What files hold, read again and again: Kubernetes swaps directories under them, which file notices miss. */
import type { Clock, Timer } from '../../model/clock.js';

export interface FollowedOptions<T> {
  /** Throws for what cannot be used: a file that is missing, half-written, a certificate beside another's key. */
  readonly read: () => T;
  readonly isSame: (a: T, b: T) => boolean;
  readonly clock: Clock;
  /** How often the files are read, milliseconds; 10 s by default. */
  readonly refreshMs?: number | undefined;
  /** Given what takes the place of something else. */
  readonly onChange: (value: T) => void;
  /** Told once for each failure in a row: what was read before stays in use. */
  readonly onFailure: (error: unknown) => void;
}

const REFRESH_MS = 10_000;

export class Followed<T> {
  readonly #options: FollowedOptions<T>;
  #current: T;
  #failing = false;
  #timer: Timer | undefined;

  /** Throws what `read` throws. */
  constructor(options: FollowedOptions<T>) {
    this.#options = options;
    this.#current = options.read();
  }

  get current(): T {
    return this.#current;
  }

  /** Reads on until `stop`. */
  start(): void {
    this.#timer ??= this.#options.clock.setTimer(this.#options.refreshMs ?? REFRESH_MS, () => {
      this.#timer = undefined;
      this.refresh();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Reads now. */
  refresh(): void {
    const { read, isSame, onChange, onFailure } = this.#options;
    let fresh: T;
    try {
      fresh = read();
    } catch (error) {
      if (!this.#failing) onFailure(error);
      this.#failing = true;
      return;
    }
    this.#failing = false;
    if (isSame(fresh, this.#current)) return;
    this.#current = fresh;
    try {
      onChange(fresh);
    } catch (error) {
      onFailure(error);
    }
  }
}
