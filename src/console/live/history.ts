/** What the numbers were over the last hour. */
import { type Clock, type Timer, isoTime } from '../../model/clock.js';
import type { ConsoleSources } from '../console-sources.js';
import type {
  HistoryView,
  PoolPhase,
  PoolView,
  RequestSample,
  SampleView,
} from '../../model/admin-api.js';
import { poolKey } from '../../model/pool.js';
import { poolViews } from '../views/pool-views.js';
import { statusView } from '../views/status-view.js';

const SAMPLE_MS = 10_000;
const KEPT_SAMPLES = 360;
/** Pools whose past is kept one by one. */
const MAX_POOLS = 100;

const PHASES: readonly PoolPhase[] = ['warming', 'available', 'inUse', 'draining'];

export interface HistoryOptions {
  readonly sources: ConsoleSources;
  /** What has ended since it was asked last; undefined on a replica that is not told. */
  readonly takeRequests: () => RequestSample | undefined;
  readonly clock: Clock;
}

export class History {
  readonly #options: HistoryOptions;
  readonly #samples: SampleView[] = [];
  readonly #pools = new Map<string, Record<PoolPhase, number[]>>();
  #timer: Timer | undefined;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.setTimer(SAMPLE_MS, () => {
      this.start();
      this.take();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  newest(): SampleView | undefined {
    return this.#samples.at(-1);
  }

  view(): HistoryView {
    return {
      intervalMs: SAMPLE_MS,
      kept: KEPT_SAMPLES,
      samples: this.#samples,
      pools: Object.fromEntries(this.#pools),
    };
  }

  /** Adds the numbers of now. */
  take(): void {
    const { sources, takeRequests, clock } = this.#options;
    const pools = poolViews(sources);
    const { sessions, envoys } = statusView(sources);
    const requests = takeRequests();
    this.#samples.push({
      at: isoTime(clock.now()),
      sessions,
      envoys: { connected: envoys.connected, synced: envoys.synced },
      pools: {
        warming: sum(pools, 'warming'),
        available: sum(pools, 'available'),
        inUse: sum(pools, 'inUse'),
        draining: sum(pools, 'draining'),
      },
      ...(requests ? { requests } : {}),
    });
    if (this.#samples.length > KEPT_SAMPLES) this.#samples.shift();
    this.#takePools(pools);
  }

  /** Every series has as many numbers as there are samples. */
  #takePools(pools: readonly PoolView[]): void {
    const now = new Map(pools.map((pool) => [poolKey(pool), pool]));
    for (const key of now.keys()) {
      if (this.#pools.has(key) || this.#pools.size >= MAX_POOLS) continue;
      const before = () => Array.from({ length: this.#samples.length - 1 }, () => 0);
      this.#pools.set(key, {
        warming: before(),
        available: before(),
        inUse: before(),
        draining: before(),
      });
    }
    for (const [key, series] of this.#pools) {
      const pool = now.get(key);
      for (const phase of PHASES) {
        series[phase].push(pool?.[phase] ?? 0);
        if (series[phase].length > KEPT_SAMPLES) series[phase].shift();
      }
      if (PHASES.every((phase) => series[phase].every((count) => count === 0))) {
        this.#pools.delete(key);
      }
    }
  }
}

function sum(pools: readonly PoolView[], phase: PoolPhase): number {
  return pools.reduce((total, pool) => total + pool[phase], 0);
}
