/** What sidecars try out, taken together, as the admin API shows it. */
import type { ShadowView } from '../../model/admin-api.js';
import type { ShadowCount, ShadowReport } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';
import { isoTime } from './time.js';

const MOST_EXAMPLES = 20;

export function shadowView({ sidecars }: Pick<ConsoleSources, 'sidecars'>): ShadowView {
  const reports = sidecars().flatMap(({ policy }) => policy?.shadow ?? []);
  const examples = reports
    .flatMap((report) => report.examples)
    .toSorted((a, b) => b.atMs - a.atMs)
    .slice(0, MOST_EXAMPLES);
  return {
    candidates: candidatesOf(reports),
    counts: totalsOf(reports),
    examples: examples.map(({ atMs, ...example }) => ({ ...example, at: isoTime(atMs) })),
  };
}

function candidatesOf(reports: readonly ShadowReport[]): ShadowView['candidates'] {
  const candidates = new Map<string, { version: string; sidecars: number; problem?: string }>();
  for (const { version = '', problem } of reports) {
    if (version === '' && problem === undefined) continue;
    const key = JSON.stringify([version, problem]);
    const known = candidates.get(key);
    if (known) known.sidecars++;
    else {
      const told = problem === undefined ? {} : { problem };
      candidates.set(key, { version, sidecars: 1, ...told });
    }
  }
  return [...candidates.values()].toSorted((a, b) => b.sidecars - a.sidecars);
}

function totalsOf(reports: readonly ShadowReport[]): readonly ShadowCount[] {
  const totals = new Map<string, ShadowCount>();
  for (const one of reports.flatMap(({ counts }) => counts)) {
    const key = `${one.source} ${one.would} ${one.code}`;
    totals.set(key, { ...one, count: one.count + (totals.get(key)?.count ?? 0) });
  }
  return [...totals.values()].toSorted((a, b) => b.count - a.count);
}
