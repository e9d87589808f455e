/** Which callers a rule is for, and an index that finds the rules of a caller without trying all. */
import { type Caller, CERTIFICATE_ISSUER, NETWORK_ISSUER } from '../model/principal.js';
import {
  about,
  list,
  object,
  type Reader,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { quote, didYouMean } from '../lib/yaml/problem.js';
import { issuerUrl } from '../lib/yaml/text-types.js';
import { NameSet, NameIndex } from './name-patterns.js';
import { patterns } from './texts.js';

export const whoEntry = object(
  'who',
  {
    groups: about("Groups of the caller's token.", patterns()),
    principals: about('Subjects of tokens; "*" is everyone with a token.', patterns()),
    services: about('Names of services and source_networks.', patterns()),
    issuers: about(
      'Narrows groups and principals to tokens of these; default: any.',
      withDefault(list(text(issuerUrl)), []),
    ),
  },
  {
    needsOneOf: ['groups', 'principals', 'services'],
    because: '; principals: ["*"] is everyone with a token',
  },
);

export type WhoEntry = TypeOf<typeof whoEntry>;

export interface Who {
  readonly groups: NameSet;
  /** Subjects of tokens only: a service is never matched by them. */
  readonly principals: NameSet;
  readonly services: NameSet;
  /** Narrows groups and principals; empty: any issuer. */
  readonly issuers: ReadonlySet<string>;
}

export function compileWho(entry: WhoEntry): Who {
  return {
    groups: new NameSet(entry.groups),
    principals: new NameSet(entry.principals),
    services: new NameSet(entry.services),
    issuers: new Set(entry.issuers),
  };
}

/** What `who` may name. */
export interface KnownNames {
  /** Services and source networks. */
  readonly services: readonly string[];
  readonly issuers: readonly string[];
}

/** Reports mistakes that only the document as a whole shows. */
export function checkWho(who: WhoEntry, known: KnownNames, reader: Reader): void {
  for (const service of who.services) {
    const pattern = new NameSet([service]);
    if (known.services.some((name) => pattern.matches(name))) continue;
    const hint = didYouMean(service, known.services);
    reader.refuseAt(
      who,
      'services',
      `"${service}" is no service or source network of this policy${hint}`,
    );
  }
  for (const issuer of who.issuers) {
    if (known.issuers.includes(issuer)) continue;
    const hint =
      didYouMean(issuer, known.issuers) || `; there are ${known.issuers.join(', ') || 'none'}`;
    reader.refuseAt(who, 'issuers', `${issuer} is no issuer of this policy${hint}`);
  }
}

/** Whether the caller was known by something else than a token. */
export function hasNoToken({ principal }: Caller): boolean {
  return principal.issuer === CERTIFICATE_ISSUER || principal.issuer === NETWORK_ISSUER;
}

export function matchesWho(who: Who, caller: Caller): boolean {
  return whyMatches(who, caller) !== undefined;
}

/** What of the caller the rule is for, such as `group "data-eng"`; undefined: nothing. */
export function whyMatches(who: Who, caller: Caller): string | undefined {
  const { issuer, subject } = caller.principal;
  if (hasNoToken(caller)) {
    return who.services.matches(subject) ? `service ${quote(subject)}` : undefined;
  }
  if (who.issuers.size > 0 && !who.issuers.has(issuer)) return undefined;
  if (who.principals.matches(subject)) return `principal ${quote(subject)}`;
  const group = caller.groups.find((name) => who.groups.matches(name));
  return group === undefined ? undefined : `group ${quote(group)}`;
}

/** Rules by the names and patterns of those they are for, so that few are tried for a caller. */
export class WhoIndex<Rule extends { readonly who: Who }> {
  readonly #byGroup = new NameIndex<Rule>();
  readonly #byPrincipal = new NameIndex<Rule>();
  readonly #byService = new NameIndex<Rule>();

  add(rule: Rule): void {
    const { groups, principals, services } = rule.who;
    this.#byGroup.add(groups, rule);
    this.#byPrincipal.add(principals, rule);
    this.#byService.add(services, rule);
  }

  /** Every rule that is for the caller. */
  rulesFor(caller: Caller): readonly Rule[] {
    const { issuer, subject } = caller.principal;
    const found = new Set<Rule>();
    if (hasNoToken(caller)) this.#byService.find([subject], found);
    else {
      this.#byGroup.find(caller.groups, found);
      this.#byPrincipal.find([subject], found);
      for (const rule of found) {
        const { issuers } = rule.who;
        if (issuers.size > 0 && !issuers.has(issuer)) found.delete(rule);
      }
    }
    return [...found];
  }
}
