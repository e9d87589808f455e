import type { RoutableDriver } from '../../src/model/driver.js';
import type { EnvoyFleet, SidecarCaches } from '../../src/model/pool.js';

/** Envoys that acknowledge at once, or when a test says so. */
export class FakeFleet implements EnvoyFleet {
  published: readonly RoutableDriver[] = [];
  acknowledges = true;
  #acknowledged: Set<string>;
  readonly #listeners = new Set<() => void>();

  /** `acknowledged`: what the Envoys know from an earlier control plane. */
  constructor(acknowledged: ReadonlySet<string> = new Set()) {
    this.#acknowledged = new Set(acknowledged);
  }

  get acknowledged(): ReadonlySet<string> {
    return this.#acknowledged;
  }

  publish(drivers: readonly RoutableDriver[]): void {
    this.published = drivers;
    if (this.acknowledges) this.acknowledge();
  }

  acknowledge(): void {
    this.#acknowledged = new Set(this.uids);
    for (const listener of this.#listeners) listener();
  }

  get uids(): string[] {
    return this.published.map(({ uid }) => uid);
  }

  knows(uid: string): boolean {
    return this.#acknowledged.has(uid);
  }

  hasForgotten({ uid }: Pick<RoutableDriver, 'uid'>): boolean {
    return !this.#acknowledged.has(uid) && !this.uids.includes(uid);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Sidecars that remember the drivers a test names. */
export class FakeCaches implements SidecarCaches {
  readonly remembered = new Set<string>();
  readonly #listeners = new Set<() => void>();

  forget(uid: string): void {
    this.remembered.delete(uid);
    for (const listener of this.#listeners) listener();
  }

  haveForgotten(uid: string): boolean {
    return !this.remembered.has(uid);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
