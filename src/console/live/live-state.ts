/** What the page shows, kept once for all who look at it. */
import { poolKey } from '../../model/pool.js';
import type { ConsoleSources } from '../console-sources.js';
import { driverViews } from '../views/driver-views.js';
import { envoyViews, sidecarViews, policyView } from '../views/envoy-views.js';
import { poolViews } from '../views/pool-views.js';
import { sessionViews } from '../views/session-views.js';
import { statusView } from '../views/status-view.js';
import type { History } from './history.js';
import type { RecentActions } from './requests.js';

/** One event for the page. */
export interface LiveEvent {
  readonly name: string;
  /** JSON. */
  readonly data: string;
}

interface Topic {
  /** Brings it up to date. */
  refresh(revision: number): void;
  all(): string;
  since(revision: number): string | undefined;
}

export interface LiveStateSources {
  readonly sources: ConsoleSources;
  readonly history: History;
  readonly actions: RecentActions;
}

export class LiveState {
  readonly #topics: Readonly<Record<string, Topic>>;
  #revision = 0;

  constructor({ sources, history, actions }: LiveStateSources) {
    this.#topics = {
      status: value(() => statusView(sources)),
      sessions: table(
        () => sessionViews(sources),
        ({ id }) => id,
      ),
      drivers: table(
        () => driverViews(sources).filter(({ phase }) => phase !== 'gone'),
        ({ uid }) => uid,
      ),
      pools: table(() => poolViews(sources), poolKey),
      // Two Envoys may go by one name.
      envoys: table(
        () => envoyViews(sources),
        ({ node, address, replica = '' }) => `${node} ${address} ${replica}`,
      ),
      sidecars: table(
        () => sidecarViews(sources),
        ({ id }) => id,
      ),
      policy: value(() => policyView(sources)),
      sample: value(() => history.newest() ?? null),
      audit: value(() => actions.newestFirst()),
    };
  }

  /** Of what was read last. */
  get revision(): number {
    return this.#revision;
  }

  /** Reads everything again. */
  refresh(): void {
    this.#revision += 1;
    for (const topic of Object.values(this.#topics)) topic.refresh(this.#revision);
  }

  /** Everything, as one event. */
  snapshot(): LiveEvent {
    const parts = Object.entries(this.#topics).map(([name, topic]) => `"${name}":${topic.all()}`);
    return { name: 'snapshot', data: `{${parts.join(',')}}` };
  }

  /** What has changed after that revision, however many changes there were. */
  since(revision: number): readonly LiveEvent[] {
    return Object.entries(this.#topics).flatMap(([name, topic]) => {
      const data = topic.since(revision);
      return data === undefined ? [] : [{ name, data }];
    });
  }
}

function value(read: () => unknown): Topic {
  const live = new LiveValue();
  return {
    refresh: (revision) => live.replace(read(), revision),
    all: () => live.all(),
    since: (revision) => live.since(revision),
  };
}

function table<T>(read: () => readonly T[], keyOf: (row: T) => string): Topic {
  const live = new LiveTable<T>(keyOf);
  return {
    refresh: (revision) => live.replace(read(), revision),
    all: () => live.all(),
    since: (revision) => live.since(revision),
  };
}

// Rows with revisions, so that each reader is sent what has changed since it was last sent something.

/** JSON of what has changed: `{changed: rows, removed: keys}`, or of all: `{all: rows}`. */
export type TableChange = string;

interface Row {
  readonly json: string;
  readonly revision: number;
}

/** Removed rows that are remembered; a reader that lags behind further is sent all rows. */
const MAX_REMOVED = 10_000;

export class LiveTable<T> {
  readonly #keyOf: (row: T) => string;
  readonly #rows = new Map<string, Row>();
  readonly #removed = new Map<string, number>();
  #forgottenUpTo = 0;
  #changedAt = 0;

  constructor(keyOf: (row: T) => string) {
    this.#keyOf = keyOf;
  }

  /** Takes the place of all rows. Each row that differs gets the revision, which must be greater than those before. */
  replace(rows: readonly T[], revision: number): void {
    const gone = new Set(this.#rows.keys());
    for (const row of rows) {
      const key = this.#keyOf(row);
      const json = JSON.stringify(row);
      gone.delete(key);
      if (this.#rows.get(key)?.json === json) continue;
      this.#rows.set(key, { json, revision });
      this.#removed.delete(key);
      this.#changedAt = revision;
    }
    for (const key of gone) {
      this.#rows.delete(key);
      this.#removed.set(key, revision);
      this.#changedAt = revision;
    }
    for (const [key, removedAt] of this.#removed) {
      if (this.#removed.size <= MAX_REMOVED) break;
      this.#removed.delete(key);
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, removedAt);
    }
  }

  /** JSON of all rows. */
  all(): string {
    return `[${[...this.#rows.values()].map(({ json }) => json).join(',')}]`;
  }

  /** What has changed after the revision; undefined: nothing. */
  since(revision: number): TableChange | undefined {
    if (this.#changedAt <= revision) return undefined;
    if (revision < this.#forgottenUpTo) return `{"all":${this.all()}}`;
    const changed = [...this.#rows.values()].filter((row) => row.revision > revision);
    const removed = [...this.#removed].filter(([, removedAt]) => removedAt > revision);
    const rows = changed.map(({ json }) => json).join(',');
    return `{"changed":[${rows}],"removed":${JSON.stringify(removed.map(([key]) => key))}}`;
  }
}

/** A value with a revision: readers are sent it when it has changed. */
class LiveValue {
  #json = 'null';
  #changedAt = 0;

  replace(next: unknown, revision: number): void {
    const json = JSON.stringify(next);
    if (json === this.#json) return;
    this.#json = json;
    this.#changedAt = revision;
  }

  /** JSON. */
  all(): string {
    return this.#json;
  }

  /** undefined: the same as at that revision. */
  since(revision: number): string | undefined {
    return this.#changedAt > revision ? this.#json : undefined;
  }
}
