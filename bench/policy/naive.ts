/** Access rules as one would write them without thinking of their number. */
import { parse } from 'yaml';
import type { Caller } from '../../src/model/principal.js';

interface Rule {
  readonly who: { readonly groups?: readonly string[]; readonly principals?: readonly string[] };
  readonly what: { readonly teams: readonly string[]; readonly environments: readonly string[] };
}

function matches(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*');
  if (star === -1) return pattern === name;
  return name.startsWith(pattern.slice(0, star)) && name.endsWith(pattern.slice(star + 1));
}

export function naivePolicy(
  text: string,
): (caller: Caller, team: string, environment: string) => boolean {
  const { access } = parse(text) as { readonly access: readonly Rule[] };
  return (caller, team, environment) =>
    access.some(
      ({ who, what }) =>
        ((who.groups ?? []).some((group) => caller.groups.some((own) => matches(group, own))) ||
          (who.principals ?? []).some((one) => matches(one, caller.principal.subject))) &&
        what.teams.some((one) => matches(one, team)) &&
        what.environments.some((one) => matches(one, environment)),
    );
}
