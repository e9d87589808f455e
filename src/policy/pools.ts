/** Pools and quotas of namespaces: the first entry that matches counts. */
import { LRUCache } from 'lru-cache';
import type { PoolPolicy, QuotaPolicy } from '../model/policy.js';
import type { Reader } from '../yaml/schema.js';
import type { MatchEntry, PoolEntry, QuotaEntry } from './document.js';
import { NameSet } from './glob.js';
import type { NamespaceTemplate } from './namespace-template.js';
import { compileSchedule } from './schedule.js';

/** For what a pool's entry leaves out. */
export interface PoolDefaults {
  readonly size: number;
  readonly maximum: number;
  readonly startTimeoutMs: number;
}

/** Namespaces whose answer is remembered. */
const REMEMBERED = 10_000;

const NO_QUOTAS: QuotaPolicy = Object.freeze({
  sessionsPerPrincipal: undefined,
  sessionsPerTeam: undefined,
  sessionsPerNamespace: undefined,
});

/** A policy without `pools` gives each namespace the default pool; one with them, only those they match. */
export function compilePools(
  entries: readonly PoolEntry[] | undefined,
  defaults: PoolDefaults,
  template: NamespaceTemplate,
  reader: Reader,
): (namespace: string) => PoolPolicy | undefined {
  if (!entries) {
    const pool = compilePool({ ...DEFAULT_ENTRY }, defaults, reader);
    return () => pool;
  }
  return firstMatch(
    entries.map((entry) => {
      const value = compilePool(entry, defaults, reader);
      if (value.size > value.maximum) {
        reader.refuseAt(
          entry,
          entry.size === undefined ? 'maximum' : 'size',
          `size (${value.size}) must not exceed maximum (${value.maximum})`,
        );
      }
      return { match: entry.match, value };
    }),
    template,
  );
}

export function compileQuotas(
  entries: readonly QuotaEntry[],
  template: NamespaceTemplate,
): (namespace: string) => QuotaPolicy {
  const find = firstMatch(
    entries.map((entry) => ({
      match: entry.match,
      value: Object.freeze({
        sessionsPerPrincipal: entry.sessions_per_principal,
        sessionsPerTeam: entry.sessions_per_team,
        sessionsPerNamespace: entry.sessions_per_namespace,
      }),
    })),
    template,
  );
  return (namespace) => find(namespace) ?? NO_QUOTAS;
}

const DEFAULT_ENTRY: PoolEntry = {
  match: undefined,
  size: undefined,
  maximum: undefined,
  sessions_per_driver: 1,
  sharing: 'principal',
  after_use: 'replace',
  idle_ttl: 30 * 60_000,
  start_timeout: undefined,
  schedule: [],
};

function compilePool(entry: PoolEntry, defaults: PoolDefaults, reader: Reader): PoolPolicy {
  const maximum = entry.maximum ?? Math.max(defaults.maximum, entry.size ?? 0);
  const usual = { size: entry.size ?? Math.min(defaults.size, maximum), maximum };
  const { schedule } = entry;
  return Object.freeze({
    ...usual,
    ...(schedule.length === 0 ? {} : { schedule: compileSchedule(schedule, usual, reader) }),
    sessionsPerDriver: entry.sessions_per_driver,
    sharing: entry.sharing,
    afterUse: entry.after_use,
    idleTtlMs: Number.isFinite(entry.idle_ttl) ? entry.idle_ttl : undefined,
    startTimeoutMs: entry.start_timeout ?? defaults.startTimeoutMs,
  });
}

interface Candidate<T> {
  readonly match: MatchEntry | undefined;
  readonly value: T;
}

function firstMatch<T extends object>(
  candidates: readonly Candidate<T>[],
  template: NamespaceTemplate,
): (namespace: string) => T | undefined {
  const compiled = candidates.map(({ match, value }) => ({
    value,
    matches: compileMatch(match, template),
  }));
  const remembered = new LRUCache<string, { readonly value: T | undefined }>({ max: REMEMBERED });
  return (namespace) => {
    const known = remembered.get(namespace);
    if (known) return known.value;
    const value = compiled.find(({ matches }) => matches(namespace))?.value;
    remembered.set(namespace, { value });
    return value;
  };
}

function compileMatch(
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
