/** What the page knows of the gateway, kept up to date by the events of the server. */
import type {
  ActionView,
  DriverView,
  EnvoyView,
  PolicyView,
  PoolView,
  SampleView,
  SessionView,
  SidecarView,
  StatusView,
} from '../../model/admin-api.js';

export interface LiveData {
  readonly status: StatusView;
  readonly sessions: ReadonlyMap<string, SessionView>;
  readonly drivers: ReadonlyMap<string, DriverView>;
  readonly pools: ReadonlyMap<string, PoolView>;
  readonly envoys: ReadonlyMap<string, EnvoyView>;
  readonly sidecars: ReadonlyMap<string, SidecarView>;
  readonly policy: PolicyView;
  readonly sample: SampleView | null;
  readonly audit: readonly ActionView[];
}

interface Snapshot extends Pick<LiveData, 'status' | 'policy' | 'sample' | 'audit'> {
  readonly sessions: readonly SessionView[];
  readonly drivers: readonly DriverView[];
  readonly pools: readonly PoolView[];
  readonly envoys: readonly EnvoyView[];
  readonly sidecars: readonly SidecarView[];
}

/** Either all rows, or those that have changed. */
interface TableChange<T> {
  readonly all?: readonly T[];
  readonly changed?: readonly T[];
  readonly removed?: readonly string[];
}

/** As the server names a pool, or a variant's part of one. */
export function poolKey({ namespace, variant }: Pick<PoolView, 'namespace' | 'variant'>): string {
  return variant === undefined ? namespace : `${namespace}/${variant}`;
}

const keys = {
  sessions: ({ id }: SessionView) => id,
  drivers: ({ uid }: DriverView) => uid,
  pools: poolKey,
  envoys: ({ node, address, replica = '' }: EnvoyView) => `${node} ${address} ${replica}`,
  sidecars: ({ id }: SidecarView) => id,
};

export const EVENT_NAMES = [
  'snapshot',
  'status',
  'sessions',
  'drivers',
  'pools',
  'envoys',
  'sidecars',
  'policy',
  'sample',
  'audit',
] as const;
export type EventName = (typeof EVENT_NAMES)[number];

/** The data after an event. `json` is what the server sent under that name; before a snapshot, others change nothing. */
export function applyEvent(
  data: LiveData | undefined,
  name: EventName,
  json: string,
): LiveData | undefined {
  if (name === 'snapshot') return fromSnapshot(parsed<Snapshot>(json));
  if (!data) return undefined;
  switch (name) {
    case 'status':
      return { ...data, status: parsed<StatusView>(json) };
    case 'policy':
      return { ...data, policy: parsed<PolicyView>(json) };
    case 'sample':
      return { ...data, sample: parsed<SampleView | null>(json) };
    case 'audit':
      return { ...data, audit: parsed<readonly ActionView[]>(json) };
    case 'sessions':
      return { ...data, sessions: changed(data.sessions, json, keys.sessions) };
    case 'drivers':
      return { ...data, drivers: changed(data.drivers, json, keys.drivers) };
    case 'pools':
      return { ...data, pools: changed(data.pools, json, keys.pools) };
    case 'envoys':
      return { ...data, envoys: changed(data.envoys, json, keys.envoys) };
    case 'sidecars':
      return { ...data, sidecars: changed(data.sidecars, json, keys.sidecars) };
  }
}

function fromSnapshot(snapshot: Snapshot): LiveData {
  return {
    ...snapshot,
    sessions: byKey(snapshot.sessions, keys.sessions),
    drivers: byKey(snapshot.drivers, keys.drivers),
    pools: byKey(snapshot.pools, keys.pools),
    envoys: byKey(snapshot.envoys, keys.envoys),
    sidecars: byKey(snapshot.sidecars, keys.sidecars),
  };
}

function byKey<T>(rows: readonly T[], keyOf: (row: T) => string): ReadonlyMap<string, T> {
  return new Map(rows.map((row) => [keyOf(row), row]));
}

function changed<T>(
  before: ReadonlyMap<string, T>,
  json: string,
  keyOf: (row: T) => string,
): ReadonlyMap<string, T> {
  const change = parsed<TableChange<T>>(json);
  if (change.all) return byKey(change.all, keyOf);
  const after = new Map(before);
  for (const key of change.removed ?? []) after.delete(key);
  for (const row of change.changed ?? []) after.set(keyOf(row), row);
  return after;
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the caller knows of the event
function parsed<T>(json: string): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server that serves this page has the same types
  return JSON.parse(json) as T;
}
