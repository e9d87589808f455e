/** What is refused by the limits of a policy, and what its clients are told. */
import { GatewayError } from './errors.js';
import type { LimitPolicy, RateLimit, RateLimits } from './policy.js';
import { principalKey, type Principal } from './principal.js';

/** `bytes`: of the message as it is sent. MESSAGE_TOO_LARGE when the limit is less. */
export function refuseBySize(
  bytes: number,
  namespace: string,
  limits: LimitPolicy,
): GatewayError | undefined {
  const limit = limits.messageSizeBytes;
  if (limit === undefined || bytes <= limit) return undefined;
  return new GatewayError(
    'MESSAGE_TOO_LARGE',
    `Your request is a message of ${mebibytes(bytes, Math.ceil)} MiB, and the policy allows ${mebibytes(limit, Math.floor)} MiB in ${namespace}. ` +
      'Have Spark read large data from storage instead of sending it with createDataFrame or within a query, or send it in parts.',
  );
}

export function limitsQueries(limits: LimitPolicy): boolean {
  return (
    limits.queriesPerSession !== undefined ||
    limits.queriesPerPrincipal !== undefined ||
    limits.queriesPerTeam !== undefined ||
    limits.queriesPerNamespace !== undefined
  );
}

/** To two decimals; `round` keeps what is larger looking larger. */
function mebibytes(bytes: number, round: (value: number) => number): string {
  return String(round((bytes / 1024 ** 2) * 100) / 100);
}

interface RateDemand {
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

// Whose sessions and requests are counted together, and what they are told when there are too many.

export interface RateTarget {
  readonly principal: Principal;
  readonly team: string;
  readonly namespace: string;
}

const WHAT = { sessions: 'new sessions', requests: 'requests' };

/** Takes one of each limit that there is. RATE_LIMITED when one is used up; then none is taken. */
export function refuseByRate(
  what: keyof typeof WHAT,
  limiter: RateLimiter,
  limits: RateLimits,
  target: RateTarget,
  nowMs: number,
): GatewayError | undefined {
  const demands: (RateDemand & { readonly whose: string })[] = [];
  if (limits.principal) {
    const key = `p ${principalKey(target.principal)}`;
    demands.push({ key, limit: limits.principal, whose: 'you' });
  }
  if (limits.team) {
    const key = `t ${target.team}`;
    demands.push({ key, limit: limits.team, whose: `team ${target.team}` });
  }
  if (limits.namespace) {
    const key = `n ${target.namespace}`;
    demands.push({ key, limit: limits.namespace, whose: target.namespace });
  }
  if (demands.length === 0) return undefined;
  const refusal = limiter.take(demands, nowMs);
  if (!refusal) return undefined;
  const { demand, retryAfterMs } = refusal;
  const { count, perMs } = demand.limit;
  const whose = demands.find(({ key }) => key === demand.key)?.whose ?? 'you';
  return new GatewayError(
    'RATE_LIMITED',
    `The policy allows ${whose} ${count} ${WHAT[what]} in ${perMs / 1000} s. Try again in ${Math.ceil(retryAfterMs / 1000)} s.`,
    { retryAfterMs },
  );
}
