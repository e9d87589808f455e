/** Keeps the clusters and endpoints in the xDS cache in step with the routable drivers. */
import type { Logger } from 'pino';
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Clock, Timer } from '../model/clock.js';
import { hostPort, type RoutableDriver } from '../model/driver.js';
import type { EnvoyFleet } from '../model/pool.js';
import { clusterName } from '../model/names.js';
import type { ResourceCache } from '../xds/resource-cache.js';
import {
  type EncodedResource,
  encodeResource,
  type ResourceName,
  TypeUrl,
} from '../xds/resource.js';
import { cluster, endpoints } from './clusters.js';
import type { DriverConnectionSettings } from './settings.js';

/** A set of Envoys that are told the same, and the namespaces that they serve. */
export interface FleetView {
  readonly name: string;
  serves(namespace: string): boolean;
}

/** How far the Envoys have come: the part of the DiscoveryHub that the fleet needs. */
export interface AcknowledgedRevisions {
  /** The cache revision of the resource that every connected subscriber has acknowledged. */
  minAcknowledgedRevision(typeUrl: TypeUrl, name: string): number;
  onAck(listener: () => void): () => void;
}

export interface XdsFleetOptions {
  readonly cache: ResourceCache;
  readonly revisions: AcknowledgedRevisions;
  readonly views: readonly FleetView[];
  readonly connections: DriverConnectionSettings;
  /** Where it is not `connections.maxConnectionsPerDriver`; asked anew by `limitsChanged`. */
  readonly connectionsPerDriver?: (namespace: string) => number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * How long a namespace without drivers keeps its (empty) cluster, milliseconds; 10 min by default.
   * A pool that is emptied and filled again then changes endpoints only, and counters live on.
   */
  readonly emptyClusterTtlMs?: number;
}

interface NamespaceState {
  /** In the order of their uids. */
  drivers: readonly RoutableDriver[];
  /** To each of them, from one Envoy. */
  connections: number;
  /** Runs while there are no drivers. */
  removal: Timer | undefined;
}

/** A driver that is published, or was and may not be forgotten yet. */
interface Presence {
  readonly driver: RoutableDriver;
  /** The revision of the cache that first held it, or no longer did. */
  readonly since: number;
}

const DEFAULT_EMPTY_CLUSTER_TTL_MS = 600_000;

/** A change costs as much as the namespaces it touches have drivers; the rest is only compared. */
export class XdsFleet implements EnvoyFleet {
  readonly #options: XdsFleetOptions;
  readonly #namespaces = new Map<string, NamespaceState>();
  /** By uid. */
  readonly #published = new Map<string, Presence>();
  /** By address and port. */
  readonly #leaving = new Map<string, Presence>();
  /** uid of the driver that is published there, by address and port. */
  readonly #holders = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  readonly #stopFollowing: () => void;
  /** An Envoy that is behind this revision may hold drivers that an earlier process published. */
  #first: number | undefined;

  constructor(options: XdsFleetOptions) {
    this.#options = options;
    this.#stopFollowing = options.revisions.onAck(() => {
      this.#forget();
      this.#notify();
    });
  }

  publish(drivers: readonly RoutableDriver[]): void {
    this.#write(drivers);
    this.#first ??= this.#options.cache.revision;
    this.#forget();
    this.#notify();
  }

  /** The policy may limit connections otherwise from now on. Open streams keep the connections they have. */
  limitsChanged(): void {
    const changed = new Map<string, readonly EncodedResource[]>();
    for (const [namespace, state] of this.#namespaces) {
      const connections = this.#connectionsPerDriver(namespace);
      if (connections === state.connections) continue;
      state.connections = connections;
      changed.set(namespace, [this.#encodeCluster(namespace, connections)]);
    }
    this.#tell(changed);
  }

  knows(uid: string): boolean {
    const presence = this.#published.get(uid);
    return presence !== undefined && this.#isAcknowledged(presence);
  }

  hasForgotten({ uid, namespace }: Pick<RoutableDriver, 'uid' | 'namespace'>): boolean {
    if (this.#published.has(uid)) return false;
    for (const presence of this.#leaving.values()) {
      if (presence.driver.uid === uid && !this.#isAcknowledged(presence)) return false;
    }
    return this.#isFirstPublicationAcknowledged(namespace);
  }

  holderOf({ address, port }: Pick<RoutableDriver, 'address' | 'port'>): string | undefined {
    const key = hostPort(address, port);
    return this.#holders.get(key) ?? this.#leaving.get(key)?.driver.uid;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#stopFollowing();
    for (const state of this.#namespaces.values()) state.removal?.cancel();
  }

  #forget(): void {
    // Each of many Envoys says that many drivers have gone: who holds what is looked at once for a namespace.
    const held = new Map<string, number>();
    for (const [key, { driver, since }] of this.#leaving) {
      const { namespace } = driver;
      const revision = held.get(namespace) ?? this.#acknowledgedRevision(namespace);
      held.set(namespace, revision);
      if (revision >= since) this.#leaving.delete(key);
    }
  }

  #write(routable: readonly RoutableDriver[]): void {
    const wanted = byNamespace(routable);
    const changed = new Map<string, readonly EncodedResource[]>();
    for (const namespace of new Set([...this.#namespaces.keys(), ...wanted.keys()])) {
      const drivers = wanted.get(namespace) ?? [];
      const state = this.#namespaces.get(namespace);
      if (state && sameDrivers(state.drivers, drivers)) continue;
      const { connections } = this.#keep(namespace, drivers);
      changed.set(namespace, [
        this.#encodeEndpoints(namespace, drivers),
        ...(state ? [] : [this.#encodeCluster(namespace, connections)]),
      ]);
    }
    if (changed.size === 0) return;
    this.#tell(changed);
    this.#remember(routable, changed);
  }

  #tell(changed: ReadonlyMap<string, readonly EncodedResource[]>): void {
    if (changed.size === 0) return;
    for (const view of this.#options.views) {
      const upserts = [...changed]
        .filter(([namespace]) => view.serves(namespace))
        .flatMap(([, resources]) => resources);
      this.#options.cache.update(view.name, { upserts });
    }
  }

  #encodeEndpoints(namespace: string, drivers: readonly RoutableDriver[]): EncodedResource {
    const assignment = endpoints(namespace, drivers);
    return encodeResource(ClusterLoadAssignmentSchema, clusterName(namespace), assignment);
  }

  #encodeCluster(namespace: string, maxConnectionsPerDriver: number): EncodedResource {
    const settings = { ...this.#options.connections, maxConnectionsPerDriver };
    return encodeResource(ClusterSchema, clusterName(namespace), cluster(namespace, settings));
  }

  #connectionsPerDriver(namespace: string): number {
    const { connections, connectionsPerDriver } = this.#options;
    return connectionsPerDriver?.(namespace) ?? connections.maxConnectionsPerDriver;
  }

  #keep(namespace: string, drivers: readonly RoutableDriver[]): NamespaceState {
    const state = this.#namespaces.get(namespace) ?? {
      drivers,
      connections: this.#connectionsPerDriver(namespace),
      removal: undefined,
    };
    this.#namespaces.set(namespace, state);
    state.drivers = drivers;
    state.removal?.cancel();
    state.removal =
      drivers.length > 0
        ? undefined
        : this.#options.clock.setTimer(
            this.#options.emptyClusterTtlMs ?? DEFAULT_EMPTY_CLUSTER_TTL_MS,
            () => this.#removeNamespace(namespace),
          );
    return state;
  }

  #removeNamespace(namespace: string): void {
    this.#namespaces.delete(namespace);
    const name = clusterName(namespace);
    const removes: ResourceName[] = [
      { typeUrl: TypeUrl.CLUSTER, name },
      { typeUrl: TypeUrl.ENDPOINTS, name },
    ];
    for (const view of this.#options.views) {
      if (view.serves(namespace)) this.#options.cache.update(view.name, { removes });
    }
  }

  #remember(routable: readonly RoutableDriver[], changed: ReadonlyMap<string, unknown>): void {
    const { revision } = this.#options.cache;
    this.#holders.clear();
    for (const driver of routable) this.#holders.set(addressOf(driver), driver.uid);
    const left = new Map(this.#published);
    for (const driver of routable) {
      const before = left.get(driver.uid);
      const isSameAddress = before !== undefined && addressOf(before.driver) === addressOf(driver);
      if (isSameAddress) left.delete(driver.uid);
      if (isSameAddress && !changed.has(driver.namespace)) continue;
      this.#leaving.delete(addressOf(driver));
      this.#published.set(driver.uid, {
        driver,
        since: isSameAddress ? before.since : revision,
      });
    }
    const routableUids = new Set(routable.map(({ uid }) => uid));
    for (const [uid, { driver }] of left) {
      if (!routableUids.has(uid)) this.#published.delete(uid);
      this.#leaving.set(addressOf(driver), { driver, since: revision });
    }
  }

  #isAcknowledged({ driver, since }: Presence): boolean {
    return this.#acknowledgedRevision(driver.namespace) >= since;
  }

  #acknowledgedRevision(namespace: string): number {
    const { revisions } = this.#options;
    const name = clusterName(namespace);
    return Math.min(
      revisions.minAcknowledgedRevision(TypeUrl.CLUSTER, name),
      revisions.minAcknowledgedRevision(TypeUrl.ENDPOINTS, name),
    );
  }

  /** Until then an Envoy may hold drivers of the namespace that an earlier process published. */
  #isFirstPublicationAcknowledged(namespace: string): boolean {
    return this.#first !== undefined && this.#acknowledgedRevision(namespace) >= this.#first;
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function addressOf({ address, port }: RoutableDriver): string {
  return hostPort(address, port);
}

function byNamespace(drivers: readonly RoutableDriver[]): Map<string, RoutableDriver[]> {
  const groups = new Map<string, RoutableDriver[]>();
  for (const driver of drivers.toSorted((a, b) => (a.uid < b.uid ? -1 : 1))) {
    const group = groups.get(driver.namespace);
    if (group) group.push(driver);
    else groups.set(driver.namespace, [driver]);
  }
  return groups;
}

function sameDrivers(a: readonly RoutableDriver[], b: readonly RoutableDriver[]): boolean {
  return (
    a.length === b.length &&
    a.every((driver, i) => {
      const other = b[i];
      return (
        other !== undefined &&
        driver.uid === other.uid &&
        driver.address === other.address &&
        driver.port === other.port &&
        driver.draining === other.draining
      );
    })
  );
}
