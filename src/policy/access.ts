/** Who may use which team and environment. What no rule allows is refused. */
import type { ExplainedRule } from '../model/explanation.js';
import type { Target } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { quote } from '../yaml/problem.js';
import { didYouMean } from '../yaml/suggest.js';
import type { Reader } from '../yaml/schema.js';
import type { AccessEntry } from './document.js';
import { NameSet } from './glob.js';
import { checkWho, compileWho, type KnownNames, type Who, WhoIndex, whyMatches } from './who.js';

/** Teams and environments that a caller may use; patterns stay patterns. */
export interface Grant {
  readonly teams: readonly string[];
  readonly environments: readonly string[];
}

interface Rule {
  readonly who: Who;
  readonly teams: NameSet;
  /** Claims whose value is a team, or a list of teams. */
  readonly teamClaims: readonly string[];
  readonly environments: NameSet;
  readonly entry: AccessEntry;
  readonly line: number | undefined;
}

export class AccessRules {
  readonly #all: readonly Rule[];
  readonly #index = new WhoIndex<Rule>();
  /** A caller is the same value for as long as its token is remembered, so this is found once for each. */
  readonly #rules = new WeakMap<Caller, readonly Rule[]>();

  constructor(entries: readonly AccessEntry[], reader: Reader) {
    this.#all = entries.map((entry) => compileRule(entry, reader));
    for (const rule of this.#all) this.#index.add(rule);
  }

  allows(caller: Caller, { team, environment }: Target): boolean {
    return this.#rulesFor(caller).some(
      (rule) => rule.environments.matches(environment) && coversTeam(rule, caller, team),
    );
  }

  /** What each rule makes of the request, in the policy's order. */
  explain(caller: Caller, target: Target): readonly ExplainedRule[] {
    return this.#all.map((rule, index) => explainRule(rule, index + 1, caller, target));
  }

  /** What the caller may use, in the policy's words, with claims filled in. */
  grants(caller: Caller): readonly Grant[] {
    return this.#rulesFor(caller).flatMap(({ entry, teamClaims }): Grant[] => {
      const teams = [
        ...entry.what.teams.filter((team) => claimOf(team) === undefined),
        ...teamClaims.flatMap((claim) => claimedTeams(caller, claim)),
      ];
      return teams.length === 0 ? [] : [{ teams, environments: entry.what.environments }];
    });
  }

  #rulesFor(caller: Caller): readonly Rule[] {
    const known = this.#rules.get(caller);
    if (known) return known;
    const rules = [...new Set(this.#index.rulesFor(caller))];
    this.#rules.set(caller, rules);
    return rules;
  }
}

function explainRule(
  rule: Rule,
  number: number,
  caller: Caller,
  { team, environment }: Target,
): ExplainedRule {
  const { entry, line } = rule;
  const why = whyMatches(rule.who, caller);
  const missing = [
    ...(coversTeam(rule, caller, team) ? [] : [`team ${quote(team)}`]),
    ...(rule.environments.matches(environment) ? [] : [`environment ${quote(environment)}`]),
  ];
  return {
    number,
    ...(entry.name === undefined ? {} : { name: entry.name }),
    ...(line === undefined ? {} : { line }),
    allows: why !== undefined && missing.length === 0,
    forCaller: why !== undefined,
    reason:
      why === undefined
        ? 'not for this caller'
        : `for ${why}${missing.length === 0 ? '' : `, but not for ${missing.join(' and ')}`}`,
  };
}

function compileRule(entry: AccessEntry, reader: Reader): Rule {
  const plain = entry.what.teams.filter((team) => claimOf(team) === undefined);
  return {
    who: compileWho(entry.who),
    teams: new NameSet(plain),
    teamClaims: entry.what.teams.flatMap((team) => claimOf(team) ?? []),
    environments: new NameSet(entry.what.environments),
    entry,
    line: reader.placeOf(entry)?.line,
  };
}

/** Mistakes that only the document as a whole shows. */
export function checkAccess(
  entries: readonly AccessEntry[],
  known: KnownNames & { readonly environments: readonly string[] | undefined },
  reader: Reader,
): void {
  for (const { who, what } of entries) {
    checkWho(who, known, reader);
    for (const environment of what.environments) {
      const { environments } = known;
      if (!environments || environments.some((name) => new NameSet([environment]).matches(name))) {
        continue;
      }
      reader.refuseAt(
        what,
        'environments',
        `"${environment}" is none of targets.environments${didYouMean(environment, environments)}; allowed: ${environments.join(', ')}`,
      );
    }
  }
}

function coversTeam(rule: Rule, caller: Caller, team: string): boolean {
  return (
    rule.teams.matches(team) ||
    rule.teamClaims.some((claim) => claimedTeams(caller, claim).includes(team))
  );
}

/** `${team}` → `team`. */
function claimOf(pattern: string): string | undefined {
  return /^\$\{([^{}]+)\}$/.exec(pattern)?.[1];
}

/** A claim is never taken for a pattern. */
function claimedTeams(caller: Caller, claim: string): readonly string[] {
  const value = Object.hasOwn(caller.claims, claim) ? caller.claims[claim] : undefined;
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((item): item is string => typeof item === 'string');
}
