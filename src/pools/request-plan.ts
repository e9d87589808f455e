/** Requests to the factory of which no driver has come yet: waited for, adopted, or given up. */
import type { DriverRecord } from '../model/driver.js';
import { poolKey, type PoolName } from '../model/pool.js';
import type { Deadlines } from './deadlines.js';
import type { FleetInput, Resource } from './fleet-plan.js';
import { startTimeout } from './lifecycle.js';

export interface RequestPlan {
  /** Requests that may still become drivers, by `poolKey`. */
  readonly coming: ReadonlyMap<string, number>;
  readonly failed: readonly (PoolName & { readonly reason: string })[];
  readonly delete: readonly Resource[];
}

export function planRequests(
  input: FleetInput,
  records: ReadonlyMap<string, DriverRecord>,
  deadlines: Deadlines,
): RequestPlan {
  const recorded = new Set([...records.values()].map(({ resource }) => resource));
  const ended = new Map(
    [...input.sightings.drivers.values()]
      .filter(({ condition }) => condition === 'ended')
      .map((driver) => [driver.resource, driver.reason ?? 'It ended before it came up.']),
  );
  const coming = new Map<string, number>();
  const failed: (PoolName & { readonly reason: string })[] = [];
  const toDelete: Resource[] = [];
  const expect = (pool: PoolName) => {
    const key = poolKey(pool);
    coming.set(key, (coming.get(key) ?? 0) + 1);
  };

  const listed = new Set<string>();
  for (const request of input.requested) {
    const { resource, namespace, variant, createdAtMs, failure } = request;
    const pool: PoolName = { namespace, variant };
    listed.add(resource);
    if (recorded.has(resource)) continue;
    const reason = failure ?? ended.get(resource);
    if (input.deleting.has(resource)) {
      // Until it is deleted it may still come up, so it keeps its place.
      if (reason === undefined) expect(pool);
      continue;
    }
    const policy = input.pool(pool);
    if (reason !== undefined) {
      failed.push({ ...pool, reason });
      toDelete.push({ ...pool, resource });
    } else if (!policy) {
      toDelete.push({ ...pool, resource });
    } else {
      expect(pool);
      if (deadlines.passed(createdAtMs + policy.startTimeoutMs)) {
        failed.push({ ...pool, reason: startTimeout(policy.startTimeoutMs, request.reason) });
        toDelete.push({ ...pool, resource });
      }
    }
  }
  for (const { resource, ...pool } of input.creating) {
    if (!listed.has(resource) && !recorded.has(resource)) expect(pool);
  }
  return { coming, failed, delete: toDelete };
}
