/** What is allowed at a time, beside sessions (`quotas`): sizes and numbers. */
import { about, object, optional, text, type TypeOf } from '../lib/yaml/schema.js';
import { integer, size, textType, duration } from '../lib/yaml/text-types.js';
import type { RateLimit } from '../model/policy.js';
import type { LimitPolicy, RateLimitPolicy } from '../model/policy.js';
import { firstMatch, matchField } from './match.js';
import type { NamespaceTemplate } from './namespace-template.js';

const queries = (whose: string) =>
  about(
    `Queries at a time of one ${whose}; default: no limit.`,
    optional(text(integer(1, 1_000_000))),
  );

export const limitEntry = object('a limit', {
  match: matchField,
  // A client sends artifacts in messages of 32 KiB: they pass whatever the limit.
  message_size: about(
    "The largest request message, as it is sent; default: the driver's own limit alone.",
    optional(text(size('64KiB', '2GiB'))),
  ),
  connections_per_driver: about(
    'Connections of one Envoy to one driver; default: max_conns_per_host of the settings.',
    optional(text(integer(1, 65_535))),
  ),
  queries_per_session: queries('session'),
  queries_per_principal: queries('principal'),
  queries_per_team: queries('team'),
  queries_per_namespace: queries('namespace'),
});

export type LimitEntry = TypeOf<typeof limitEntry>;

/** The first entry that is for the namespace. */
export function compileLimits(
  entries: readonly LimitEntry[],
  template: NamespaceTemplate,
): (namespace: string) => LimitPolicy | undefined {
  if (entries.length === 0) return () => undefined;
  return firstMatch(
    entries.map((entry) => ({
      match: entry.match,
      value: Object.freeze<LimitPolicy>({
        messageSizeBytes: entry.message_size,
        connectionsPerDriver: entry.connections_per_driver,
        queriesPerSession: entry.queries_per_session,
        queriesPerPrincipal: entry.queries_per_principal,
        queriesPerTeam: entry.queries_per_team,
        queriesPerNamespace: entry.queries_per_namespace,
      }),
    })),
    template,
  );
}

// How many sessions may be begun and requests be made in a time.

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
