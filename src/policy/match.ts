/** Which namespaces an entry of the policy is for. */
import {
  about,
  list,
  object,
  optional,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { NameSet, NameIndex } from './name-patterns.js';
import type { NamespaceTemplate } from './namespace-template.js';
import { labelPattern } from './texts.js';

/** Namespaces whose answer is remembered; beyond them it begins anew. */
const REMEMBERED = 10_000;

/** Which namespaces an entry is for; it must meet each field that is there. */
const matchEntry = object('match', {
  namespaces: about('Namespaces by name.', withDefault(list(text(labelPattern)), [])),
  teams: about('Namespaces of these teams.', withDefault(list(text(labelPattern)), [])),
  environments: about('And of these environments.', withDefault(list(text(labelPattern)), [])),
});

export const matchField = about(
  'Which namespaces it is for: all that are given must match; default: every one.',
  optional(matchEntry),
);

export type MatchEntry = TypeOf<typeof matchEntry>;

export interface Candidate<T> {
  readonly match: MatchEntry | undefined;
  readonly value: T;
}

/** The value of the first entry that is for the namespace. */
export function firstMatch<T extends object>(
  candidates: readonly Candidate<T>[],
  template: NamespaceTemplate,
): (namespace: string) => T | undefined {
  const namespaces = new NameIndex<Entry<T>>();
  const teams = new NameIndex<Entry<T>>();
  const others: Entry<T>[] = [];
  for (const [order, { match, value }] of candidates.entries()) {
    const entry = { order, value, matches: compileMatch(match, template) };
    if (match && match.namespaces.length > 0) namespaces.add(new NameSet(match.namespaces), entry);
    else if (match && match.teams.length > 0) teams.add(new NameSet(match.teams), entry);
    else others.push(entry);
  }
  return byNamespace((namespace) => {
    const found = new Set(others);
    namespaces.find([namespace], found);
    const pair = template.parse(namespace);
    if (pair) teams.find([pair.team], found);
    let first: Entry<T> | undefined;
    for (const entry of found) {
      if ((!first || entry.order < first.order) && entry.matches(namespace)) first = entry;
    }
    return first?.value;
  });
}

interface Entry<T> {
  readonly order: number;
  readonly value: T;
  readonly matches: (namespace: string) => boolean;
}

/** Remembers what `find` found. */
export function byNamespace<T>(find: (namespace: string) => T): (namespace: string) => T {
  // No LRUCache, which takes all its room at once: a policy has a dozen of these, and most are hardly used.
  const remembered = new Map<string, { readonly value: T }>();
  return (namespace) => {
    const known = remembered.get(namespace);
    if (known) return known.value;
    const value = find(namespace);
    if (remembered.size >= REMEMBERED) remembered.clear();
    remembered.set(namespace, { value });
    return value;
  };
}

export function compileMatch(
  entry: MatchEntry | undefined,
  template: NamespaceTemplate,
): (namespace: string) => boolean {
  if (!entry) return () => true;
  const namespaces = new NameSet(entry.namespaces);
  const teams = new NameSet(entry.teams);
  const environments = new NameSet(entry.environments);
  return (namespace) => {
    if (entry.namespaces.length > 0 && !namespaces.matches(namespace)) return false;
    if (entry.teams.length === 0 && entry.environments.length === 0) return true;
    const pair = template.parse(namespace);
    return (
      pair !== undefined &&
      (entry.teams.length === 0 || teams.matches(pair.team)) &&
      (entry.environments.length === 0 || environments.matches(pair.environment))
    );
  };
}

/** Work that takes long on the event loop, in steps: between two of them something else may be done. */
export type Steps<T> = Generator<void, T, void>;

/** How long the event loop is kept from other work, milliseconds: some requests to a sidecar wait for it. */
const SLICE_MS = 10;

/** All of it at once. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** A slice at a time, with what else there is to do between two of them. Rejects with the signal's reason when it fires. */
export async function inSlices<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    const end = performance.now() + SLICE_MS;
    do {
      const { done, value } = steps.next();
      if (done === true) return value;
    } while (performance.now() < end);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
