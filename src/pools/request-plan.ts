/** Requests to the factory of which no driver has come yet: waited for, adopted, or given up. */
import type { DriverRecord } from '../model/driver.js';
import type { Deadlines } from './deadlines.js';
import type { FleetInput, Resource } from './fleet-plan.js';
import { startTimeout } from './lifecycle.js';

export interface RequestPlan {
  /** Requests that may still become drivers, by namespace. */
  readonly coming: ReadonlyMap<string, number>;
  readonly failed: readonly { readonly namespace: string; readonly reason: string }[];
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
  const failed: { namespace: string; reason: string }[] = [];
  const toDelete: Resource[] = [];
  const expect = (namespace: string) => coming.set(namespace, (coming.get(namespace) ?? 0) + 1);

  const listed = new Set<string>();
  for (const request of input.requested) {
    const { resource, namespace, createdAtMs, failure } = request;
    listed.add(resource);
    if (recorded.has(resource)) continue;
    const reason = failure ?? ended.get(resource);
    if (input.deleting.has(resource)) {
      // Until it is deleted it may still come up, so it keeps its place.
      if (reason === undefined) expect(namespace);
      continue;
    }
    const policy = input.pool(namespace);
    if (reason !== undefined) {
      failed.push({ namespace, reason });
      toDelete.push({ resource, namespace });
    } else if (!policy) {
      toDelete.push({ resource, namespace });
    } else {
      expect(namespace);
      if (deadlines.passed(createdAtMs + policy.startTimeoutMs)) {
        failed.push({ namespace, reason: startTimeout(policy.startTimeoutMs, request.reason) });
        toDelete.push({ resource, namespace });
      }
    }
  }
  for (const { resource, namespace } of input.creating) {
    if (!listed.has(resource) && !recorded.has(resource)) expect(namespace);
  }
  return { coming, failed, delete: toDelete };
}
