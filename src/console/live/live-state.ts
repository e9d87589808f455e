/** What the page shows, kept once for all who look at it. */
import type { ConsoleSources } from '../sources.js';
import { driverViews } from '../views/drivers.js';
import { envoyViews, sidecarViews } from '../views/envoys.js';
import { policyView } from '../views/policy.js';
import { poolViews } from '../views/pools.js';
import { sessionViews } from '../views/sessions.js';
import { statusView } from '../views/status.js';
import type { History } from './history.js';
import { LiveTable } from './live-table.js';
import { LiveValue } from './live-value.js';
import type { RecentActions } from './recent-actions.js';

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
      pools: table(
        () => poolViews(sources),
        ({ namespace }) => namespace,
      ),
      // Two Envoys may go by one name.
      envoys: table(
        () => envoyViews(sources),
        ({ node, address }) => `${node} ${address}`,
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
