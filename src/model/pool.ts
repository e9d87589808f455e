import type { ObservedDriver, RoutableDriver } from './driver.js';
import type { PoolPolicy } from './policy.js';

/** The drivers of one kind in a namespace: the pool's own, or those of a variant that canaries use. */
export interface PoolName {
  readonly namespace: string;
  readonly variant?: string | undefined;
}

/** A map key; no namespace holds a slash. */
export function poolKey({ namespace, variant }: PoolName): string {
  return variant === undefined ? namespace : `${namespace}/${variant}`;
}

/** What `poolKey` was made of. */
export function poolOfKey(key: string): PoolName {
  const [namespace = '', variant] = key.split('/');
  return { namespace, variant };
}

/** The pool with the size that its schedule gives it at a moment. */
export function poolAt(pool: PoolPolicy, nowMs: number): PoolPolicy {
  if (!pool.schedule) return pool;
  const { size, maximum } = pool.schedule.at(nowMs);
  return { ...pool, size, maximum };
}

/** How the variant's drivers are kept; undefined for one that no canary of the pool names. */
export function variantPool(pool: PoolPolicy, variant: string | undefined): PoolPolicy | undefined {
  if (variant === undefined) return pool;
  const canary = pool.canaries?.find((candidate) => candidate.variant === variant);
  if (!canary) return undefined;
  const size = canary.size ?? Math.ceil(canary.share * pool.size);
  const maximum = canary.maximum ?? Math.max(1, size, Math.ceil(canary.share * pool.maximum));
  return { ...pool, size: Math.min(size, maximum), maximum };
}

/** How many new sessions wait for a driver, so that a pool can grow on demand. */
export interface DemandSource {
  /** Sessions that wait now for a driver of this kind, or were told a moment ago to come back. */
  waiting(pool: PoolName): number;
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
  status(pool: PoolName): PoolStatus;
}

/** The drivers as the last successful read of discovery showed them. */
export interface Observations {
  get(uid: string): ObservedDriver | undefined;
}

/** How a driver came up. */
export interface DriverStart {
  readonly namespace: string;
  readonly createdAtMs: number;
  /** When it could take its first session. */
  readonly readyAtMs: number;
}

export interface DriverStarts {
  /** undefined for a driver that this process did not see come up. */
  startOf(uid: string): DriverStart | undefined;
}

/** The Envoys, seen from those who decide which drivers they may reach. */
export interface EnvoyFleet {
  /** Makes exactly these drivers routable. No two may share an address, and none may be at another's (`holderOf`). */
  publish(drivers: readonly RoutableDriver[]): void;
  /** Whether every connected Envoy that is to know this driver has acknowledged it. True when none is connected. */
  knows(uid: string): boolean;
  /** uid of the driver that an Envoy may reach at this address: published there, or not yet forgotten everywhere. */
  holderOf(driver: Pick<RoutableDriver, 'address' | 'port'>): string | undefined;
  /** Whether no connected Envoy still routes to this driver: its removal is acknowledged everywhere. */
  hasForgotten(driver: Pick<RoutableDriver, 'uid' | 'namespace'>): boolean;
  /** Calls back when an answer of `knows` or `hasForgotten` may have changed. */
  onChange(listener: () => void): () => void;
}

/** The sidecars, seen from those who give an address to a new driver. */
export interface SidecarCaches {
  /**
   * Whether no sidecar can still use a cached assignment to this driver: each connected one has
   * confirmed that it dropped them, and those that are cut off have outlived the cache's time.
   */
  haveForgotten(driverUid: string): boolean;
  onChange(listener: () => void): () => void;
}
