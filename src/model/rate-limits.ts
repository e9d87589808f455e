/** Whose sessions and requests are counted together, and what they are told when there are too many. */
import { GatewayError } from './errors.js';
import type { RateLimits } from './policy.js';
import { principalKey, type Principal } from './principal.js';
import type { RateDemand, RateLimiter } from './rate-limiter.js';

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
