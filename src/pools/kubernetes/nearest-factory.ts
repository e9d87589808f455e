/** Makes drivers in the nearest of several clusters that can be reached, and finds them in all. */
import type { Logger } from 'pino';
import { isOpen } from '../../kubernetes/error.js';
import type { DriverFactory, RequestedDriver } from '../../model/driver.js';
import { GatewayError } from '../../model/errors.js';

export interface ClusterFactory {
  readonly name: string;
  readonly factory: DriverFactory;
}

export class NearestFactory implements DriverFactory {
  readonly #clusters: readonly ClusterFactory[];
  readonly #logger: Logger;
  /** What each cluster last listed, by its name. */
  readonly #known = new Map<string, readonly RequestedDriver[]>();
  readonly #unreachable = new Set<string>();

  /** `clusters`: the nearest first. */
  constructor(clusters: readonly ClusterFactory[], logger: Logger) {
    this.#clusters = clusters;
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

  async create(resource: string, namespace: string, variant?: string): Promise<void> {
    const reachable = this.#clusters.filter(({ name }) => !this.#unreachable.has(name));
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
        // It may have been made all the same, and the next list shows it: one elsewhere would be one too many.
        if (error instanceof GatewayError && isOpen(error.cause)) break;
      }
    }
    throw failure ?? new GatewayError('DRIVER_START_FAILED', 'No cluster can be reached now.');
  }

  async delete(resource: string, namespace: string): Promise<void> {
    const holders = this.#clusters.filter(({ name }) =>
      this.#known.get(name)?.some((known) => known.resource === resource),
    );
    const clusters = holders.length > 0 ? holders : this.#clusters;
    await Promise.all(clusters.map(({ factory }) => factory.delete(resource, namespace)));
  }
}
