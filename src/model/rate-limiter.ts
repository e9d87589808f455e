/**
 * So many in a time, for each key: the generic cell rate algorithm, which is a token bucket that
 * remembers one moment for each key (ITU-T I.371). In any time t no more than `count + t / perMs * count`
 * are let through. Nothing is remembered of a key whose bucket is full.
 */

export interface RateLimit {
  /** At once, after a time without any; refilled evenly. */
  readonly count: number;
  readonly perMs: number;
}

export interface RateDemand {
  readonly key: string;
  readonly limit: RateLimit;
}

export interface RateRefusal {
  readonly demand: RateDemand;
  /** When all of the demands would be met if nobody else came, milliseconds from now. */
  readonly retryAfterMs: number;
}

export class RateLimiter {
  readonly #maxKeys: number;
  /** When each key's bucket is full again, the one used last at the end. */
  readonly #fullAtMs = new Map<string, number>();

  /** `maxKeys`: with more in use at a time, the one unused for longest starts afresh. */
  constructor(maxKeys = 50_000) {
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#fullAtMs.size;
  }

  /** Takes one of each, or none. undefined: taken. */
  take(demands: readonly RateDemand[], nowMs: number): RateRefusal | undefined {
    let refusal: RateRefusal | undefined;
    for (const demand of demands) {
      const waitMs = this.#nextFullAtMs(demand, nowMs) - nowMs - demand.limit.perMs;
      if (waitMs > 0 && waitMs > (refusal?.retryAfterMs ?? 0)) {
        refusal = { demand, retryAfterMs: Math.ceil(waitMs) };
      }
    }
    if (refusal) return refusal;
    for (const demand of demands) {
      const fullAtMs = this.#nextFullAtMs(demand, nowMs);
      this.#fullAtMs.delete(demand.key);
      this.#fullAtMs.set(demand.key, fullAtMs);
    }
    this.#forget(nowMs);
    return undefined;
  }

  /** When the bucket would be full again after one more. A clock that went back refills no bucket later than an empty one. */
  #nextFullAtMs({ key, limit: { count, perMs } }: RateDemand, nowMs: number): number {
    const fullAtMs = this.#fullAtMs.get(key) ?? nowMs;
    return Math.min(Math.max(fullAtMs, nowMs), nowMs + perMs) + perMs / count;
  }

  /** Those used least lately are in front: they are full, or too many. */
  #forget(nowMs: number): void {
    for (const [key, fullAtMs] of this.#fullAtMs) {
      if (fullAtMs > nowMs && this.#fullAtMs.size <= this.#maxKeys) return;
      this.#fullAtMs.delete(key);
    }
  }
}
