/** Which callers a rule is for, and an index that finds the rules of a caller without trying all. */
import { type Caller, CERTIFICATE_ISSUER, NETWORK_ISSUER } from '../model/principal.js';
import type { AccessEntry } from './document.js';
import { NameSet } from './glob.js';

export interface Who {
  readonly groups: NameSet;
  /** Subjects of tokens only: a service is never matched by them. */
  readonly principals: NameSet;
  readonly services: NameSet;
  /** Narrows groups and principals; empty: any issuer. */
  readonly issuers: ReadonlySet<string>;
}

export function compileWho(entry: AccessEntry['who']): Who {
  return {
    groups: new NameSet(entry.groups),
    principals: new NameSet(entry.principals),
    services: new NameSet(entry.services),
    issuers: new Set(entry.issuers),
  };
}

/** Whether the caller was known by something else than a token. */
export function hasNoToken({ principal }: Caller): boolean {
  return principal.issuer === CERTIFICATE_ISSUER || principal.issuer === NETWORK_ISSUER;
}

function matches(who: Who, caller: Caller): boolean {
  const { issuer, subject } = caller.principal;
  if (hasNoToken(caller)) return who.services.matches(subject);
  if (who.issuers.size > 0 && !who.issuers.has(issuer)) return false;
  return (
    who.principals.matches(subject) || caller.groups.some((group) => who.groups.matches(group))
  );
}

/** Rules by the exact names of those they are for; rules with patterns are tried one by one. */
export class WhoIndex<Rule extends { readonly who: Who }> {
  readonly #byGroup = new Map<string, Rule[]>();
  readonly #byPrincipal = new Map<string, Rule[]>();
  readonly #byService = new Map<string, Rule[]>();
  readonly #patterns: Rule[] = [];

  add(rule: Rule): void {
    const { groups, principals, services } = rule.who;
    for (const name of groups.exact) append(this.#byGroup, name, rule);
    for (const name of principals.exact) append(this.#byPrincipal, name, rule);
    for (const name of services.exact) append(this.#byService, name, rule);
    if (groups.globs.length + principals.globs.length + services.globs.length > 0) {
      this.#patterns.push(rule);
    }
  }

  /** Every rule that is for the caller; one may come more than once. */
  *rulesFor(caller: Caller): Generator<Rule> {
    const { subject } = caller.principal;
    if (hasNoToken(caller)) {
      yield* this.#byService.get(subject) ?? [];
    } else {
      for (const group of caller.groups) yield* this.#trusted(this.#byGroup.get(group), caller);
      yield* this.#trusted(this.#byPrincipal.get(subject), caller);
    }
    for (const rule of this.#patterns) if (matches(rule.who, caller)) yield rule;
  }

  *#trusted(rules: readonly Rule[] | undefined, caller: Caller): Generator<Rule> {
    for (const rule of rules ?? []) {
      const { issuers } = rule.who;
      if (issuers.size === 0 || issuers.has(caller.principal.issuer)) yield rule;
    }
  }
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}
