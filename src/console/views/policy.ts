/** The policy as the admin API shows it. */
import type { PolicyRevision } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';
import { isoTime } from './time.js';

export interface PolicyRevisionView {
  readonly version: string;
  readonly loadedAt: string;
  /** As it was written. */
  readonly text: string;
}

export interface PolicyView extends PolicyRevisionView {
  /** A file's path, or a custom resource's name. */
  readonly source: string;
  /** Why what is there now is not in force: every mistake, one on each line. */
  readonly problem?: string;
}

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
