/**
 * Writes whose outcome is open because no answer came. The API server was told how long it may take
 * over each, so once that time is over the write has either happened or never will.
 */
import type { Clock } from '../../model/clock.js';
import { isOpen } from './http.js';

/** A request that the API server gave up may be with etcd for a moment longer. */
const MARGIN_MS = 2_000;

export class UnsettledWrites {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #open = new Map<string, Promise<void>>();

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Makes the request; one that fails with an open outcome keeps what is called `uid` unsettled for a while. */
  async track<T>(uid: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      if (isOpen(error)) this.#open.set(uid, this.#wait(uid));
      throw error;
    }
  }

  /** Resolves when every write of this record has surely happened or never will. */
  settled(uid: string): Promise<void> {
    return this.#open.get(uid) ?? Promise.resolve();
  }

  async allSettled(): Promise<void> {
    await Promise.all(this.#open.values());
  }

  #wait(uid: string): Promise<void> {
    const wait = new Promise<void>((resolve) => {
      this.#clock.setTimer(this.#timeoutMs + MARGIN_MS, resolve);
    }).then(() => {
      if (this.#open.get(uid) === wait) this.#open.delete(uid);
    });
    return wait;
  }
}
