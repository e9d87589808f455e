/** The last hour: what the server has kept, and what came since. */
import type { HistoryView, PoolSeriesView, SampleView } from '../../model/admin-api.js';
import type { LiveData } from './live-data.js';

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
