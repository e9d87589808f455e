import type { DriverRecord, DriverSource, ObservedDriver } from '../model/driver.js';

/** A source without some of its drivers. */
export class FilteredSource implements DriverSource {
  readonly #source: DriverSource;
  #hidden: ReadonlySet<string> = new Set();

  constructor(source: DriverSource) {
    this.#source = source;
  }

  hide(uids: ReadonlySet<string>): void {
    this.#hidden = uids;
  }

  async list(): Promise<readonly ObservedDriver[]> {
    return (await this.#source.list()).filter(({ uid }) => !this.#hidden.has(uid));
  }

  inDoubt(driver: Pick<DriverRecord, 'namespace' | 'cluster'>): boolean {
    return this.#source.inDoubt?.(driver) === true;
  }

  watch(listener: () => void): () => void {
    return this.#source.watch(listener);
  }
}
