/** The policy as the admin API shows it. */
import type { PolicyRevisionView, PolicyView } from '../../model/admin-api.js';
import type { PolicyRevision } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';
import { isoTime } from './time.js';

export function policyView({ policyReport }: Pick<ConsoleSources, 'policyReport'>): PolicyView {
  const { source, problem, ...revision } = policyReport();
  return {
    ...revisionView(revision),
    source,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Newest first. */
export function policyHistoryView({
  policyHistory,
}: Pick<ConsoleSources, 'policyHistory'>): readonly PolicyRevisionView[] {
  return policyHistory().map(revisionView);
}

function revisionView({ version, loadedAtMs, text }: PolicyRevision): PolicyRevisionView {
  return { version, loadedAt: isoTime(loadedAtMs), text };
}
