/** What is allowed at a time, beside sessions (`quotas`): sizes and numbers. */
import type { LimitPolicy } from '../model/policy.js';
import { about, object, optional, text, type TypeOf } from '../yaml/schema.js';
import { integer } from '../yaml/text-type.js';
import { size } from '../yaml/units.js';
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
