import type { DriverRecord, DriverSource, ObservedDriver } from '../model/driver.js';

/** A source without some of its drivers, and with further reasons to look at it. */
export class FilteredSource implements DriverSource {
  readonly #source: DriverSource;
  readonly #listeners = new Set<() => void>();
  readonly #hidden: () => ReadonlySet<string>;

  /** `hidden`: the uids that are left out now. */
  constructor(source: DriverSource, hidden: () => ReadonlySet<string>) {
    this.#source = source;
    this.#hidden = hidden;
  }

  /** Says that it is time to look. */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async list(): Promise<readonly ObservedDriver[]> {
    const observed = await this.#source.list();
    const hidden = this.#hidden();
    return hidden.size === 0 ? observed : observed.filter(({ uid }) => !hidden.has(uid));
  }

  inDoubt(driver: Pick<DriverRecord, 'namespace' | 'cluster'>): boolean {
    return this.#source.inDoubt?.(driver) === true;
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    const stop = this.#source.watch(listener);
    return () => {
      this.#listeners.delete(listener);
      stop();
    };
  }
}
