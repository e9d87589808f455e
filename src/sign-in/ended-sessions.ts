/** Sessions of a page that were ended before their time. Replicas of the control plane tell each other of them. */
import { createHash } from 'node:crypto';
import type { Clock } from '../model/clock.js';

/** Remembered until they would have been over; of more, the oldest are forgotten. */
const MOST_ENDED = 10_000;

/** For other replicas: a digest, and until when it matters (milliseconds since the epoch). */
export type EndedList = readonly (readonly [digest: string, goodUntilMs: number])[];

export class EndedSessions {
  readonly #clock: Clock;
  /** By digest of the session's own secret, with the time at which it would have been over; the oldest first. */
  readonly #ended = new Map<string, number>();
  #listener: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `secret`: what only this session's cookie holds. */
  end(secret: string, goodUntilMs: number): void {
    this.#ended.set(digestOf(secret), goodUntilMs);
    this.#forget();
    this.#listener();
  }

  has(secret: string): boolean {
    return this.#ended.size > 0 && this.#ended.has(digestOf(secret));
  }

  /** Calls when a session has ended here. */
  onEnd(listener: () => void): void {
    this.#listener = listener;
  }

  /** All that are known, for another replica. */
  list(): EndedList {
    this.#forget();
    return [...this.#ended];
  }

  /** Takes in what another replica knows. */
  take(ended: EndedList): void {
    for (const [digest, goodUntilMs] of ended) {
      if (!this.#ended.has(digest)) this.#ended.set(digest, goodUntilMs);
    }
    this.#forget();
  }

  /** Those that are over anyhow, and the oldest of too many. */
  #forget(): void {
    const now = this.#clock.now();
    for (const [digest, goodUntilMs] of this.#ended) {
      if (goodUntilMs > now && this.#ended.size <= MOST_ENDED) continue;
      this.#ended.delete(digest);
    }
  }
}

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}
