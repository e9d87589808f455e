/** What Envoy may keep of a decision, and for how long (src/envoy/lease.ts; docs/decisions/decision-leases.md). */
import { LEASE_HEADER, LEASE_WORDS, LEASED_HEADER, type LeasedRpc } from '../model/names.js';
import type { RateLimitPolicy } from '../model/policy.js';
import { type AllowedResponse, type Headers, packed } from './check-codec.js';
import type { RequestFacts } from './decision.js';

/** What Envoy asks by: undefined for a request that no lease is for. */
export function askedLease({ headers }: { readonly headers: Pick<Headers, 'get'> }) {
  const number = headers.get(LEASE_HEADER);
  return number !== undefined && /^\d{1,10}$/.test(number) ? number : undefined;
}

export interface LeaseTerms {
  /** At most, milliseconds; 0: there are no leases. */
  readonly leaseMs: number;
  readonly nowMs: number;
  /** When the caller's token ends; undefined for a caller without one, who gets no lease. */
  readonly goodUntilMs: number | undefined;
}

/** Whole seconds; 0: no lease. */
export function leaseSeconds({ leaseMs, nowMs, goodUntilMs }: LeaseTerms): number {
  if (goodUntilMs === undefined) return 0;
  return Math.max(0, Math.floor(Math.min(leaseMs, goodUntilMs - nowMs) / 1000));
}

/** As `response`, and Envoy may answer equal requests by it for so many seconds. */
export function withLease(
  response: AllowedResponse,
  rpc: LeasedRpc,
  number: string,
  seconds: number,
): AllowedResponse {
  const set = new Map(response.set.map(({ name, value }) => [name, value]));
  set.set(LEASED_HEADER, packed(response.metadata));
  const token = set.get('authorization')?.slice('Bearer '.length);
  const value = [
    number,
    String(seconds),
    ...LEASE_WORDS[rpc].map((name) => set.get(name) ?? ''),
    ...(token === undefined ? [] : [token]),
  ];
  // A word that is empty would make Envoy read the next one in its place.
  if (value.includes('')) return response;
  return { ...response, toClient: [{ name: LEASE_HEADER, value: value.join(' ') }] };
}

/**
 * Which lease a request may have, where nothing has to be decided of each one by itself: a ReleaseExecute, whose
 * caller has begun what it releases; a Config that only reads, unless the policy counts requests.
 */
export function leasable(
  { method, config }: Pick<RequestFacts, 'method' | 'config'>,
  limits: RateLimitPolicy | undefined,
): LeasedRpc | undefined {
  if (method.name === 'ReleaseExecute') return method.name;
  if (method.name !== 'Config' || !config?.whole || config.writes.length > 0) return undefined;
  const { principal, team, namespace } = limits?.requests ?? {};
  return principal || team || namespace ? undefined : method.name;
}
