/** Pools and quotas of namespaces: the first entry that matches counts. */
import type { PoolPolicy, QuotaPolicy } from '../model/policy.js';
import type { Reader } from '../lib/yaml/schema.js';
import type { PoolEntry, QuotaEntry } from './document.js';
import { type Candidate, firstMatch, type Steps } from './match.js';
import type { NamespaceTemplate } from './namespace-template.js';
import { compileSchedule } from './schedule.js';

/** For what a pool's entry leaves out. */
export interface PoolDefaults {
  readonly size: number;
  readonly maximum: number;
  readonly startTimeoutMs: number;
}

const NO_QUOTAS: QuotaPolicy = Object.freeze({
  sessionsPerPrincipal: undefined,
  sessionsPerTeam: undefined,
  sessionsPerNamespace: undefined,
});

/** A policy without `pools` gives each namespace the default pool; one with them, only those they match. */
export function* compilePools(
  entries: readonly PoolEntry[] | undefined,
  defaults: PoolDefaults,
  template: NamespaceTemplate,
  reader: Reader,
): Steps<(namespace: string) => PoolPolicy | undefined> {
  if (!entries) {
    const pool = compilePool({ ...DEFAULT_ENTRY }, defaults, reader);
    return () => pool;
  }
  const candidates: Candidate<PoolPolicy>[] = [];
  for (const entry of entries) {
    yield;
    const value = compilePool(entry, defaults, reader);
    if (value.size > value.maximum) {
      reader.refuseAt(
        entry,
        entry.size === undefined ? 'maximum' : 'size',
        `size (${value.size}) must not exceed maximum (${value.maximum})`,
      );
    }
    candidates.push({ match: entry.match, value });
  }
  return firstMatch(candidates, template);
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
  disconnected_ttl: undefined,
  start_timeout: undefined,
  on_driver_loss: undefined,
  schedule: [],
};

function compilePool(entry: PoolEntry, defaults: PoolDefaults, reader: Reader): PoolPolicy {
  const maximum = entry.maximum ?? Math.max(defaults.maximum, entry.size ?? 0);
  const usual = { size: entry.size ?? Math.min(defaults.size, maximum), maximum };
  const { schedule, on_driver_loss: loss } = entry;
  return Object.freeze({
    ...usual,
    ...(loss && {
      onDriverLoss: Object.freeze({
        endAfterMs: loss.end_after,
        startReplacement: loss.start_replacement,
      }),
    }),
    ...(schedule.length === 0 ? {} : { schedule: compileSchedule(schedule, usual, reader) }),
    sessionsPerDriver: entry.sessions_per_driver,
    sharing: entry.sharing,
    afterUse: entry.after_use,
    idleTtlMs: Number.isFinite(entry.idle_ttl) ? entry.idle_ttl : undefined,
    ...(entry.disconnected_ttl === undefined ? {} : { disconnectedTtlMs: entry.disconnected_ttl }),
    startTimeoutMs: entry.start_timeout ?? defaults.startTimeoutMs,
  });
}
