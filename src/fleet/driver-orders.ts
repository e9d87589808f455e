/** What the factory is asked for: drivers to be made and to be deleted, and what became of it. */
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { DriverFactory, DriverRecord, RequestedDriver } from '../model/driver.js';
import { reasonOf, retryAfterOf } from '../model/errors.js';
import type { Leadership } from '../model/ledger.js';
import { poolKey, type PoolName } from '../model/pool.js';
import { newDriverName } from './apply-plan.js';
import { Deletions } from './deletions.js';
import { Background } from './factory-calls.js';
import type { Resource } from './fleet-plan.js';
import { afterFailure, type StartFailures } from './pool-plan.js';

export interface DriverOrdersOptions {
  /** Absent where every driver is someone else's: then nothing is asked for. */
  readonly factory?: DriverFactory;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly log: Logger;
  /** Names a new driver; a DNS label. Default `driver-` and 12 random characters. */
  readonly newResourceName?: (namespace: string) => string;
  /** Called after the end of each call to the factory. */
  readonly onEnd: () => void;
}

/** Calls are made at their turn, and only while the epoch lasts in which they were decided. */
export class DriverOrders {
  /** Of starts, by the pool's key. */
  failures: ReadonlyMap<string, StartFailures> = new Map();
  readonly #options: DriverOrdersOptions;
  readonly #creating: Background;
  readonly #deleting: Deletions;
  /** Before when no driver is made of a pool, by its key: whoever makes them asked for it. */
  readonly #notBefore = new Map<string, number>();

  constructor(options: DriverOrdersOptions) {
    const { clock, onEnd } = options;
    this.#options = options;
    this.#creating = new Background(clock, onEnd);
    this.#deleting = new Deletions(clock, onEnd);
  }

  /** Another leader has had other failures. */
  newTerm(): void {
    this.failures = new Map();
    this.#notBefore.clear();
  }

  /** As `Background.beforeList`, of creations. */
  beforeList(): () => void {
    return this.#creating.beforeList();
  }

  /** Creations that are under way. */
  creating(): readonly Resource[] {
    return this.#creating.resources();
  }

  /** Milliseconds since the epoch; `key` is the pool's. */
  notBeforeMs(key: string): number | undefined {
    return this.#notBefore.get(key);
  }

  /** Says what a look at everything has shown: what is not there any more need not be deleted. */
  noteLeft(requested: readonly RequestedDriver[], records: Iterable<DriverRecord>): void {
    const left = new Set(requested.map(({ resource }) => resource));
    for (const { resource, phase } of records) {
      if (resource !== undefined && phase !== 'gone') left.add(resource);
    }
    this.#deleting.left(left);
  }

  /** Resources whose deletion is not to be asked for now. */
  restingDeletions(): ReadonlySet<string> {
    return this.#deleting.resting();
  }

  /** Resources whose deletion the factory has taken on. */
  acceptedDeletions(): ReadonlySet<string> {
    return this.#deleting.accepted();
  }

  /** When the next deletion may be asked for again, milliseconds since the epoch. */
  nextRetryMs(): number | undefined {
    return this.#deleting.nextRetryMs();
  }

  /** Has one more driver of the pool made. */
  create({ namespace, variant }: PoolName): void {
    const { factory, clock, log, newResourceName = newDriverName } = this.#options;
    if (!factory) return;
    const resource = newResourceName(namespace);
    const key = poolKey({ namespace, variant });
    log.info({ resource, namespace, variant }, 'making a driver');
    this.#creating.start(
      { resource, namespace, variant },
      () => factory.create(resource, namespace, variant),
      this.#inThisEpoch(),
      (error) => {
        const retryAfterMs = retryAfterOf(error);
        if (retryAfterMs !== undefined) {
          log.info({ resource, namespace, variant, reason: reasonOf(error) }, 'a driver waits');
          this.#notBefore.set(key, clock.now() + retryAfterMs);
          return;
        }
        log.error({ err: error, resource, namespace, variant }, 'a driver could not be made');
        const template = factory.template?.({ namespace, variant });
        const before = this.failures.get(key);
        const failure = afterFailure(before, reasonOf(error), template, clock.now());
        this.failures = new Map(this.failures).set(key, failure);
      },
    );
  }

  delete({ resource, namespace }: Resource): void {
    const { factory, log } = this.#options;
    if (!factory) return;
    log.info({ resource, namespace }, 'deleting a driver');
    this.#deleting.start(
      { resource, namespace },
      () => factory.delete(resource, namespace),
      this.#inThisEpoch(),
      (error) => log.error({ err: error, resource, namespace }, 'a driver could not be deleted'),
    );
  }

  /** None begins any more. Resolves when those that have begun are over. */
  async stop(): Promise<void> {
    await Promise.all([this.#creating.stop(), this.#deleting.stop()]);
  }

  #inThisEpoch(): () => boolean {
    const { leadership } = this.#options;
    const epoch = leadership.epoch();
    return () => leadership.epoch() === epoch;
  }
}
