import { hostPort, type RoutableDriver } from '../../src/model/driver.js';
import type { EnvoyFleet, SidecarCaches } from '../../src/model/pool.js';

/** Envoys that acknowledge at once, or when a test says so. */
export class FakeFleet implements EnvoyFleet {
  published: readonly RoutableDriver[] = [];
  acknowledges = true;
  #acknowledged: Set<string>;
  /** The driver last published at each address. */
  readonly #known = new Map<string, string>();
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
    for (const { uid, address, port } of drivers) this.#known.set(hostPort(address, port), uid);
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

  holderOf({ address, port }: Pick<RoutableDriver, 'address' | 'port'>): string | undefined {
    const key = hostPort(address, port);
    const published = this.published.find((one) => hostPort(one.address, one.port) === key);
    const former = this.#known.get(key);
    if (published) return published.uid;
    return former !== undefined && this.#acknowledged.has(former) ? former : undefined;
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
