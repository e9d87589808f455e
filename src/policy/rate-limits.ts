/** How many sessions may be begun and requests be made in a time. */
import type { RateLimitPolicy } from '../model/policy.js';
import type { RateLimit } from '../model/rate-limiter.js';
import { about, object, optional, text, type TypeOf } from '../yaml/schema.js';
import { textType } from '../yaml/text-type.js';
import { duration } from '../yaml/units.js';
import { firstMatch, matchField } from './match.js';
import type { NamespaceTemplate } from './namespace-template.js';

const span = duration('1s', '1d');

const rate = textType<RateLimit>(
  'a rate such as 10/1m: a whole number, and a duration from 1s to 1d',
  (written) => {
    const [, count, per = ''] = /^(\d{1,9})\/(.+)$/.exec(written) ?? [];
    const perMs = span.parse(per, '');
    return Number(count) > 0 && perMs !== undefined ? { count: Number(count), perMs } : undefined;
  },
  { type: 'string', pattern: '^\\d{1,9}/\\w+$' },
);

const limit = (what: string, whose: string) =>
  about(`${what} of one ${whose}; default: no limit.`, optional(text(rate)));

export const rateLimitEntry = object('a rate limit', {
  match: matchField,
  sessions_per_principal: limit('New sessions', 'principal'),
  sessions_per_team: limit('New sessions', 'team'),
  sessions_per_namespace: limit('New sessions', 'namespace'),
  requests_per_principal: limit('Requests through one Envoy', 'principal'),
  requests_per_team: limit('Requests through one Envoy', 'team'),
  requests_per_namespace: limit('Requests through one Envoy', 'namespace'),
});

export type RateLimitEntry = TypeOf<typeof rateLimitEntry>;

/** The first entry that is for the namespace. */
export function compileRateLimits(
  entries: readonly RateLimitEntry[],
  template: NamespaceTemplate,
): (namespace: string) => RateLimitPolicy | undefined {
  if (entries.length === 0) return () => undefined;
  return firstMatch(
    entries.map((entry) => ({
      match: entry.match,
      value: Object.freeze<RateLimitPolicy>({
        sessions: {
          principal: entry.sessions_per_principal,
          team: entry.sessions_per_team,
          namespace: entry.sessions_per_namespace,
        },
        requests: {
          principal: entry.requests_per_principal,
          team: entry.requests_per_team,
          namespace: entry.requests_per_namespace,
        },
      }),
    })),
    template,
  );
}
