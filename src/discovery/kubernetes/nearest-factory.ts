/** Makes drivers in the nearest of several clusters that can be reached, and finds them in all. */
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { isLater, isOpen } from '../../lib/kubernetes/http.js';
import {
  collectionPath,
  type KubernetesList,
  type KubernetesObject,
} from '../../lib/kubernetes/objects.js';
import type { Clock } from '../../model/clock.js';
import type { DriverFactory, RequestedDriver } from '../../model/driver.js';
import { GatewayError } from '../../model/errors.js';
import type { ProblemSource } from '../../model/fleet-problem.js';
import type { PoolName } from '../../model/pool.js';
import { cut } from '../../model/telling-line.js';

export interface ClusterFactory extends ProblemSource {
  readonly name: string;
  readonly factory: DriverFactory;
}

/** A cluster in which a driver did not come up is the last choice for its namespace for this long. */
const AVOID_MS = 5 * 60_000;

export class NearestFactory implements DriverFactory {
  readonly #clusters: readonly ClusterFactory[];
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** What each cluster last listed, by its name. */
  readonly #known = new Map<string, readonly RequestedDriver[]>();
  readonly #unreachable = new Set<string>();
  /** Until when, by cluster and namespace. */
  readonly #avoided = new Map<string, number>();

  /** `clusters`: the nearest first. */
  constructor(clusters: readonly ClusterFactory[], clock: Clock, logger: Logger) {
    this.#clusters = clusters;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** A cluster that cannot be read shows what it showed last. Rejects when none can be read. */
  async list(): Promise<readonly RequestedDriver[]> {
    const results = await Promise.allSettled(this.#clusters.map(({ factory }) => factory.list()));
    for (const [index, result] of results.entries()) {
      const name = this.#clusters[index]?.name ?? '';
      if (result.status === 'fulfilled') {
        this.#known.set(name, result.value);
        this.#unreachable.delete(name);
      } else {
        if (!this.#unreachable.has(name)) {
          this.#logger.warn({ cluster: name, err: result.reason }, 'a cluster cannot be read');
        }
        this.#unreachable.add(name);
      }
    }
    if (this.#unreachable.size === this.#clusters.length) {
      throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'No cluster can be read now.');
    }
    return this.#clusters.flatMap(({ name }) => this.#known.get(name) ?? []);
  }

  inDoubt(namespace: string): boolean {
    return this.#clusters.every((cluster) => this.#isInDoubt(cluster, namespace));
  }

  /** The same in every cluster. */
  template(pool: PoolName): string | undefined {
    return this.#clusters[0]?.factory.template?.(pool);
  }

  async create(resource: string, namespace: string, variant?: string): Promise<void> {
    const nowMs = this.#clock.now();
    const isAvoided = ({ name }: ClusterFactory) =>
      (this.#avoided.get(`${name}/${namespace}`) ?? 0) > nowMs;
    const reachable = this.#clusters
      .filter((cluster) => !this.#isInDoubt(cluster, namespace))
      .toSorted((a, b) => Number(isAvoided(a)) - Number(isAvoided(b)));
    let failure: unknown;
    for (const { name, factory } of reachable) {
      try {
        await factory.create(resource, namespace, variant);
        return;
      } catch (error) {
        failure ??= error;
        this.#logger.warn(
          { cluster: name, resource, namespace, err: error },
          'a driver could not be made in this cluster',
        );
        // It may have been made all the same, and the next list shows it: one elsewhere would be one too
        // many. A cluster that has too much to do for a moment is still the nearest.
        if (error instanceof GatewayError && (isOpen(error.cause) || isLater(error.cause))) break;
      }
    }
    throw failure ?? new GatewayError('DRIVER_START_FAILED', 'No cluster can be reached now.');
  }

  async delete(resource: string, namespace: string): Promise<void> {
    const holders = this.#clusters.filter(({ name }) =>
      this.#known.get(name)?.some((known) => known.resource === resource),
    );
    for (const cluster of holders) {
      for (const { kind, object } of cluster.problems()) {
        const isIt = object?.name === resource && object.namespace === namespace;
        if (kind !== 'driver_start_failed' || !isIt) continue;
        this.#avoided.set(`${cluster.name}/${namespace}`, this.#clock.now() + AVOID_MS);
      }
    }
    const clusters = holders.length > 0 ? holders : this.#clusters;
    await Promise.all(clusters.map(({ factory }) => factory.delete(resource, namespace)));
  }

  #isInDoubt({ name, factory }: ClusterFactory, namespace: string): boolean {
    return this.#unreachable.has(name) || factory.inDoubt?.(namespace) === true;
  }
}

// Finds out whether a namespace's quota is what keeps drivers from being made: the operator does not say so in a resource.

interface ResourceQuota extends KubernetesObject {
  readonly status?: {
    readonly hard?: Readonly<Record<string, string>>;
    readonly used?: Readonly<Record<string, string>>;
  };
}

const ASK_EVERY_MS = 30_000;
const LONGEST = 300;

export class QuotaWatch {
  readonly #api: Pick<KubernetesApi, 'request'>;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #known = new Map<string, { readonly atMs: number; reason: string | undefined }>();

  constructor(api: Pick<KubernetesApi, 'request'>, clock: Clock, onChange: () => void) {
    this.#api = api;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** What is used up as far as known; asks in the background when that is old. */
  reason(namespace: string): string | undefined {
    const known = this.#known.get(namespace);
    const nowMs = this.#clock.now();
    if (!known || nowMs - known.atMs >= ASK_EVERY_MS) {
      this.#known.set(namespace, { atMs: nowMs, reason: known?.reason });
      void this.#ask(namespace);
    }
    return known?.reason;
  }

  async #ask(namespace: string): Promise<void> {
    let reason: string | undefined;
    try {
      const quotas = await this.#api.request<KubernetesList<ResourceQuota>>({
        path: collectionPath('v1', namespace, 'resourcequotas'),
      });
      reason = usedUp(quotas.items);
    } catch {
      // Without the right to read quotas there is one reason less to show.
      return;
    }
    const known = this.#known.get(namespace);
    if (!known || known.reason === reason) return;
    known.reason = reason;
    this.#onChange();
  }
}

/** A quota whose last unit is taken says so; one that is merely too small for a driver does not. */
function usedUp(quotas: readonly ResourceQuota[]): string | undefined {
  const lines = quotas.flatMap(({ metadata, status }) =>
    Object.entries(status?.hard ?? {})
      .filter(([name, hard]) => status?.used?.[name] === hard)
      .map(([name, hard]) => `quota ${metadata.name} is used up: ${name} ${hard} of ${hard}`),
  );
  return lines.length === 0 ? undefined : cut(lines.join('; '), LONGEST);
}
