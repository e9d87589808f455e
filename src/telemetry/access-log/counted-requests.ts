/** What has become more since a sidecar last told what its Envoy has counted. */
import type { EnvoyCounts } from '../../model/envoy-counts.js';
import { recent } from '../../lib/recent.js';

const SIDECARS = 4_096;

export class CountedRequests {
  readonly #last = recent<string, ReadonlyMap<string, EnvoyCounts>>(SIDECARS);

  /**
   * Counts only grow, but begin again with another Envoy. Of a sidecar that is new here nothing is taken: some
   * of it may have been told to another control plane.
   */
  since(sidecarId: string, counts: readonly EnvoyCounts[]): readonly EnvoyCounts[] {
    const last = this.#last.get(sidecarId);
    this.#last.set(sidecarId, new Map(counts.map((one) => [keyOf(one), one])));
    if (!last) return [];
    return counts.map((one) => {
      const before = last.get(keyOf(one));
      return before === undefined || hasBegunAgain(one, before) ? one : difference(one, before);
    });
  }
}

function keyOf({ namespace, method }: EnvoyCounts): string {
  return `${namespace} ${method}`;
}

function hasBegunAgain(now: EnvoyCounts, before: EnvoyCounts): boolean {
  return now.succeeded < before.succeeded || now.totalMs < before.totalMs;
}

function difference(now: EnvoyCounts, before: EnvoyCounts): EnvoyCounts {
  return {
    ...now,
    succeeded: now.succeeded - before.succeeded,
    buckets: now.buckets.map((count, index) => Math.max(0, count - (before.buckets[index] ?? 0))),
    totalMs: now.totalMs - before.totalMs,
  };
}
