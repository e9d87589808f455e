/** What the pool controller works with. */
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { DriverFactory, DriverSource } from '../model/driver.js';
import type { EnvoyFleet, SidecarCaches } from '../model/envoy-fleet.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import type { Policy } from '../model/policy.js';
import type { DemandSource } from '../model/pool.js';

export interface PoolControllerOptions {
  readonly sources: readonly DriverSource[];
  /** Absent where every driver is someone else's. */
  readonly factory?: DriverFactory;
  readonly ledger: Ledger;
  readonly demand: DemandSource;
  readonly fleet: EnvoyFleet;
  readonly caches: SidecarCaches;
  readonly leadership: Leadership;
  /** The policy in force now. Call `trigger` after it was replaced. */
  readonly policy: () => Policy;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long the end of a session is remembered. */
  readonly tombstoneTtlMs: number;
  /**
   * After this process took over, no address of a driver that is gone is given to another for this
   * long: Envoys and sidecars that have not come back yet may still remember it. At least the
   * longest time a sidecar may use a cached assignment. Default 60 s.
   */
  readonly addressQuietMs?: number;
  /** Names a new driver; a DNS label. Default `driver-` and 12 random characters. */
  readonly newResourceName?: (namespace: string) => string;
}
