/** Who may use which team and environment. What no rule allows is refused. */
import { quote, didYouMean } from '../lib/yaml/problem.js';
import type { Reader } from '../lib/yaml/schema.js';
import { GatewayError } from '../model/errors.js';
import type { ExplainedRule, IssuerPolicy, Target } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { leavesGroupsOut } from '../model/token-claims.js';
import type { AccessEntry } from './document.js';
import { compileExpression, type Expression, ExpressionProblem, NoAnswer } from './expression.js';
import type { Steps } from './match.js';
import { NameSet } from './name-patterns.js';
import { checkWho, compileWho, type KnownNames, type Who, WhoIndex, whyMatches } from './who.js';

/** Teams and environments that a caller may use; patterns stay patterns. */
interface Grant {
  readonly teams: readonly string[];
  readonly environments: readonly string[];
  /** Whether an expression narrows it. */
  readonly conditional: boolean;
}

/** What somebody asks to use. */
export interface Use {
  readonly caller: Caller;
  readonly target: Target;
  readonly host: string;
}

interface Rule {
  readonly who: Who;
  readonly teams: NameSet;
  /** Claims whose value is a team, or a list of teams. */
  readonly teamClaims: readonly string[];
  readonly environments: NameSet;
  readonly when: Expression | undefined;
  readonly entry: AccessEntry;
  readonly line: number | undefined;
}

/** Told of a rule whose expression gave no answer. */
type OnNoAnswer = (rule: string, failure: NoAnswer) => void;

export class AccessRules {
  readonly #all: readonly Rule[];
  readonly #enforced = new RulesOfCallers();
  readonly #shadows = new RulesOfCallers();
  readonly #onNoAnswer: OnNoAnswer;

  static *compile(
    entries: readonly AccessEntry[],
    reader: Reader,
    onNoAnswer: OnNoAnswer,
  ): Steps<AccessRules> {
    const rules: Rule[] = [];
    for (const entry of entries) {
      rules.push(compileRule(entry, reader));
      yield;
    }
    const compiled = new AccessRules(rules, onNoAnswer);
    for (const rule of rules) {
      (rule.entry.mode === 'shadow' ? compiled.#shadows : compiled.#enforced).add(rule);
      yield;
    }
    return compiled;
  }

  private constructor(rules: readonly Rule[], onNoAnswer: OnNoAnswer) {
    this.#all = rules;
    this.#onNoAnswer = onNoAnswer;
  }

  allows(use: Use): boolean {
    return this.#enforced.of(use.caller).some((rule) => this.#covers(rule, use));
  }

  get hasShadows(): boolean {
    return this.#all.some(({ entry }) => entry.mode === 'shadow');
  }

  /** A rule in shadow mode that would allow it, by its name or line. */
  shadowFor(use: Use): string | undefined {
    const found = this.#shadows.of(use.caller).find((rule) => this.#covers(rule, use));
    return found && nameOf(found);
  }

  /** What each rule makes of the request, in the policy's order. */
  explain(use: Use): readonly ExplainedRule[] {
    return this.#all.map((rule, index) => explainRule(rule, index + 1, use));
  }

  /** What the caller may use, in the policy's words, with claims filled in. */
  grants(caller: Caller): readonly Grant[] {
    return this.#enforced.of(caller).flatMap(({ entry, teamClaims, when }): Grant[] => {
      const teams = [
        ...entry.what.teams.filter((team) => claimOf(team) === undefined),
        ...teamClaims.flatMap((claim) => claimedTeams(caller, claim)),
      ];
      const { environments } = entry.what;
      return teams.length === 0 ? [] : [{ teams, environments, conditional: when !== undefined }];
    });
  }

  #covers(rule: Rule, use: Use): boolean {
    const { caller, target } = use;
    if (!rule.environments.matches(target.environment)) return false;
    if (!coversTeam(rule, caller, target.team)) return false;
    const answer = rule.when?.evaluate(caller, target, use.host) ?? true;
    if (!(answer instanceof NoAnswer)) return answer;
    this.#onNoAnswer(nameOf(rule), answer);
    return false;
  }
}

class RulesOfCallers {
  readonly #index = new WhoIndex<Rule>();
  /** A caller is the same value for as long as its token is remembered, so this is found once for each. */
  readonly #found = new WeakMap<Caller, readonly Rule[]>();

  add(rule: Rule): void {
    this.#index.add(rule);
  }

  of(caller: Caller): readonly Rule[] {
    const known = this.#found.get(caller);
    if (known) return known;
    const rules = this.#index.rulesFor(caller);
    this.#found.set(caller, rules);
    return rules;
  }
}

function nameOf({ entry, line }: Rule): string {
  return entry.name ?? `line ${line}`;
}

function explainRule(rule: Rule, number: number, use: Use): ExplainedRule {
  const { entry, line } = rule;
  const why = whyMatches(rule.who, use.caller);
  const missing = why === undefined ? [] : whatIsMissing(rule, use);
  const covers = why !== undefined && missing.length === 0;
  const shadow = entry.mode === 'shadow';
  const but = missing.length === 0 ? '' : `, but ${missing.join(' and ')}`;
  return {
    number,
    ...(entry.name === undefined ? {} : { name: entry.name }),
    ...(line === undefined ? {} : { line }),
    allows: covers && !shadow,
    forCaller: why !== undefined,
    reason:
      why === undefined
        ? 'not for this caller'
        : `for ${why}${but}${covers && shadow ? ', but in shadow mode: it allows nothing' : ''}`,
  };
}

function whatIsMissing(rule: Rule, { caller, target, host }: Use): readonly string[] {
  const { team, environment } = target;
  const missing = [
    ...(coversTeam(rule, caller, team) ? [] : [`not for team ${quote(team)}`]),
    ...(rule.environments.matches(environment)
      ? []
      : [`not for environment ${quote(environment)}`]),
  ];
  const answer = rule.when?.evaluate(caller, target, host) ?? true;
  if (answer instanceof NoAnswer) return [...missing, `when gave no answer (${answer.message})`];
  return answer ? missing : [...missing, 'when is false'];
}

function compileRule(entry: AccessEntry, reader: Reader): Rule {
  const plain = entry.what.teams.filter((team) => claimOf(team) === undefined);
  const when = entry.when === undefined ? undefined : compileExpression(entry.when);
  if (when instanceof ExpressionProblem) reader.refuseAt(entry, 'when', when.message);
  return {
    who: compileWho(entry.who),
    teams: new NameSet(plain),
    teamClaims: entry.what.teams.flatMap((team) => claimOf(team) ?? []),
    environments: new NameSet(entry.what.environments),
    when: when instanceof ExpressionProblem ? undefined : when,
    entry,
    line: reader.placeOf(entry)?.line,
  };
}

/** In one rule, which is compiled in one step. */
const MOST_NAMES = 20_000;
/** Patterns that an index of beginnings and ends may not tell apart (name-index.ts). */
const MOST_UNSORTED = 1_000;

function isUnsorted(pattern: string): boolean {
  return pattern.indexOf('*') !== pattern.lastIndexOf('*');
}

/** Mistakes that only the document as a whole shows. */
export function* checkAccess(
  entries: readonly AccessEntry[],
  known: KnownNames & { readonly environments: readonly string[] | undefined },
  reader: Reader,
): Steps<void> {
  let unsorted = 0;
  for (const { who } of entries) {
    yield;
    checkWho(who, known, reader);
    const names = [...who.groups, ...who.principals, ...who.services];
    if (names.length > MOST_NAMES) {
      const field = who.groups.length > 0 ? 'groups' : undefined;
      reader.refuseAt(who, field, `more than ${MOST_NAMES} names in one rule: make several of it`);
    }
    const before = unsorted;
    unsorted += names.filter(isUnsorted).length;
    if (before <= MOST_UNSORTED && unsorted > MOST_UNSORTED) {
      reader.refuseAt(
        who,
        undefined,
        `more than ${MOST_UNSORTED} patterns of this policy have two "*" and more: callers are compared with each of them. Write names, or patterns with one "*"`,
      );
    }
  }
  for (const { what } of entries) {
    yield;
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

// Texts of refusals: what is wrong, what the caller may use, and the URL to use.

/** How clients reach the gateway. */
export interface ClientUrl {
  /** host:port, where it is known. */
  readonly address: string | undefined;
  /** The port put behind the host that the client asked for, where `address` is not known. */
  readonly port: number;
  readonly teamHeader: string;
  readonly environmentHeader: string;
}

/** Grants that a message lists before it says "and more". */
const LISTED = 6;

export function exampleUrl(
  url: ClientUrl,
  host: string | undefined,
  team: string | undefined,
  environment: string | undefined,
): string {
  const address = url.address ?? `${host ?? '<gateway>'}:${url.port}`;
  return `sc://${address}/;token=<token>;${url.teamHeader}=${team ?? '<team>'};${url.environmentHeader}=${environment ?? '<environment>'}`;
}

export function refusedUse(
  caller: Caller,
  target: Target,
  grants: readonly Grant[],
  url: ClientUrl,
  issuers: readonly IssuerPolicy[],
): GatewayError {
  const note = noteOnGroups(caller, issuers);
  const refused = `${quote(caller.principal.subject)} may not use team ${quote(target.team)} in environment ${quote(target.environment)}.`;
  if (grants.length === 0) {
    return new GatewayError(
      'NAMESPACE_REFUSED',
      `${refused} The policy allows this caller no team at all: ask the owners of the Spark gateway for access.${note}`,
    );
  }
  const listed = grants
    .slice(0, LISTED)
    .map(
      ({ teams, environments, conditional }) =>
        `team ${words(teams)} in ${words(environments)}${conditional ? ' on a condition of the policy' : ''}`,
    )
    .join('; ');
  const more = grants.length > LISTED ? `; and ${grants.length - LISTED} more` : '';
  const first = grants[0];
  const example = exampleUrl(
    url,
    undefined,
    first?.teams.find(isPlain),
    first?.environments.find(isPlain),
  );
  return new GatewayError(
    'NAMESPACE_REFUSED',
    `${refused} You may use: ${listed}${more}. Connect with ${example}${note}`,
  );
}

function noteOnGroups({ principal, claims }: Caller, issuers: readonly IssuerPolicy[]): string {
  const groupsClaim = issuers.find(({ issuer }) => issuer === principal.issuer)?.groupsClaim;
  return groupsClaim !== undefined && leavesGroupsOut(claims, groupsClaim)
    ? ` (Your token names none of your groups, as its issuer found too many for one token: its claim "_claim_names" or "hasgroups" says so. Ask whoever runs the issuer to put only the groups that this application needs into its tokens.)`
    : '';
}

function isPlain(pattern: string): boolean {
  return !pattern.includes('*');
}

function words(names: readonly string[]): string {
  const shown = names.slice(0, LISTED).map((name) => (name === '*' ? 'any' : name));
  const more = names.length > LISTED ? ` or ${names.length - LISTED} more` : '';
  return `${shown.join(' or ')}${more}`;
}
