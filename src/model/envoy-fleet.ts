import type { RoutableDriver } from './driver.js';

/** The Envoys, seen from those who decide which drivers they may reach. */
export interface EnvoyFleet {
  /** Makes exactly these drivers routable. No two may share an address and port. */
  publish(drivers: readonly RoutableDriver[]): void;
  /** Whether every connected Envoy that is to know this driver has acknowledged it. True when none is connected. */
  knows(uid: string): boolean;
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
