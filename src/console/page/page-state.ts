/** What the page is drawn from. */
import type { MeView, HistoryView, PoolSeriesView, SampleView } from '../../model/admin-api.js';
import type { ConnectionState } from './connection.js';
import type { LiveData } from './live-data.js';
import type { Route } from './route.js';
import type { Theme } from '../../lib/page/theme-choice.js';

/** An action that waits to be confirmed, or has been sent. */
export type ActionTarget =
  | { readonly kind: 'drain' | 'undrain' | 'evict'; readonly driver: string }
  | { readonly kind: 'release'; readonly session: string };

/** A target and the dialog that asks about it: each opening has a dialog of its own. */
export interface OpenAction {
  readonly target: ActionTarget;
  readonly opening: number;
}

export interface PageState {
  readonly route: Route;
  readonly connection: ConnectionState;
  readonly me: MeView | undefined;
  readonly data: LiveData | undefined;
  readonly past: Past | undefined;
  readonly theme: Theme;
  readonly nowMs: number;
  readonly action: OpenAction | undefined;
  /** What the last action did, for people; empty: nothing to say. */
  readonly outcome: string;
}

// The last hour: what the server has kept, and what came since.

export type Past = HistoryView;

const PHASES = ['warming', 'available', 'inUse', 'draining'] as const;

/** With the newest sample of the live data, if it is newer than what is known. */
export function withNewest(past: Past, { sample, pools }: LiveData): Past {
  if (!sample || past.samples.some(({ at }) => at >= sample.at)) return past;
  const kept = <T>(series: readonly T[], next: T): readonly T[] =>
    [...series, next].slice(-past.kept);
  const before = past.samples.length;
  const names = new Set([...Object.keys(past.pools), ...pools.keys()]);
  const series = [...names].map((namespace): [string, PoolSeriesView] => {
    const pool = pools.get(namespace);
    const old = Object.hasOwn(past.pools, namespace) ? past.pools[namespace] : undefined;
    const next = (phase: (typeof PHASES)[number]) =>
      kept(old?.[phase] ?? Array.from({ length: before }, () => 0), pool?.[phase] ?? 0);
    return [
      namespace,
      {
        warming: next('warming'),
        available: next('available'),
        inUse: next('inUse'),
        draining: next('draining'),
      },
    ];
  });
  return {
    ...past,
    samples: kept<SampleView>(past.samples, sample),
    pools: Object.fromEntries(series),
  };
}

/** How often each reason was given, the most frequent first. */
export function refusals(samples: readonly SampleView[]): readonly (readonly [string, number])[] {
  const totals = new Map<string, number>();
  for (const { requests } of samples) {
    for (const [code, count] of Object.entries(requests?.refused ?? {})) {
      totals.set(code, (totals.get(code) ?? 0) + count);
    }
  }
  return [...totals].toSorted(([, a], [, b]) => b - a);
}
