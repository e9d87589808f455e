import type { ObservedDriver } from './driver.js';
import type { PoolPolicy } from './policy.js';

/** The pool with the size that its schedule gives it at a moment. */
export function poolAt(pool: PoolPolicy, nowMs: number): PoolPolicy {
  if (!pool.schedule) return pool;
  const { size, maximum } = pool.schedule.at(nowMs);
  return { ...pool, size, maximum };
}

/** How many new sessions wait for a driver, so that a pool can grow on demand. */
export interface DemandSource {
  /** Sessions that wait now, or were told a moment ago to come back, by namespace. */
  waiting(namespace: string): number;
  /** Every namespace with at least one. */
  namespaces(): Iterable<string>;
  onChange(listener: () => void): () => void;
}

/** What a waiting client can be told about its namespace's pool. */
export interface PoolStatus {
  /** Drivers in any phase but `gone`. */
  readonly drivers: number;
  readonly maximum: number;
  /** Drivers on their way up. */
  readonly warming: number;
  /** Why the last attempt to start a driver failed, until one succeeds. */
  readonly failure: string | undefined;
  /** When the next attempt is made after a failure, milliseconds from now. */
  readonly retryInMs: number | undefined;
}

export interface PoolStatusSource {
  status(namespace: string): PoolStatus;
}

/** The drivers as the last successful read of discovery showed them. */
export interface Observations {
  get(uid: string): ObservedDriver | undefined;
}
