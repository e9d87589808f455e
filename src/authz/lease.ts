/** What Envoy may keep of a decision, and for how long (src/envoy/lease.ts; docs/decisions/decision-leases.md). */
import { LEASE_HEADER, LEASE_WORDS, LEASED_HEADER, LEASED_RPC } from '../model/names.js';
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
  number: string,
  seconds: number,
): AllowedResponse {
  const set = new Map(response.set.map(({ name, value }) => [name, value]));
  set.set(LEASED_HEADER, packed(response.metadata));
  const token = set.get('authorization')?.slice('Bearer '.length);
  const value = [
    number,
    String(seconds),
    ...LEASE_WORDS.map((name) => set.get(name) ?? ''),
    ...(token === undefined ? [] : [token]),
  ];
  // A word that is empty would make Envoy read the next one in its place.
  if (value.includes('')) return response;
  return { ...response, toClient: [{ name: LEASE_HEADER, value: value.join(' ') }] };
}

/** The one RPC that leases are for; its caller has begun what it releases. */
export function isLeasable({ method }: Pick<RequestFacts, 'method'>): boolean {
  return method.name === LEASED_RPC;
}
