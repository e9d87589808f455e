/**
 * What a client has rejected of one type, and how it is found out which of several resources it was:
 * the halves of what was rejected together are tried again, each by itself.
 */
import type { Rejection } from './protocol.js';

interface Rejected {
  /** The first revision that the client lacks. */
  readonly since: number;
  /** It was rejected together with others, so that it may be none of its fault. */
  readonly suspect: boolean;
}

export class Rejections {
  readonly #isUpsert: (name: string) => boolean;
  readonly #rejected = new Map<string, Rejected>();
  #newest: Rejection | undefined;
  /** Each set is sent by itself, one after the other, and nothing else new meanwhile. */
  readonly #trials: ReadonlySet<string>[] = [];

  /** `isUpsert`: whether the resource is still to be sent. */
  constructor(isUpsert: (name: string) => boolean) {
    this.#isUpsert = isUpsert;
  }

  /** Why the client rejected what it did last; undefined once all is pardoned. */
  get newest(): Rejection | undefined {
    return this.#newest;
  }

  get size(): number {
    return this.#rejected.size;
  }

  names(): Iterable<string> {
    return this.#rejected.keys();
  }

  /** The first revision of the resource that the client rejected; infinite for none. */
  since(name: string): number {
    return this.#rejected.get(name)?.since ?? Infinity;
  }

  /** `names`: of one response, with the first revision that the client lacks of each. */
  add(rejection: Rejection, names: ReadonlyMap<string, { readonly since: number }>): void {
    const suspect = names.size > 1;
    for (const [name, { since }] of names) {
      this.#rejected.set(name, { since: Math.min(since, this.since(name)), suspect });
    }
    this.#newest = rejection;
  }

  /** Has the halves of what is still to be sent of these tried, one after the other. */
  try(names: readonly string[]): void {
    const upserts = names.filter((name) => this.#isUpsert(name));
    const half = Math.ceil(upserts.length / 2);
    this.#trials.unshift(new Set(upserts.slice(0, half)), new Set(upserts.slice(half)));
  }

  /** The first set that has something left to be sent. */
  trial(): ReadonlySet<string> | undefined {
    for (;;) {
      const trial = this.#trials[0];
      if (!trial) return undefined;
      for (const name of trial) {
        if (this.#isUpsert(name)) return trial;
      }
      this.#trials.shift();
    }
  }

  /**
   * Takes names off. Returns those that get another chance because they were rejected together with
   * others, with the first revision that the client lacks.
   */
  pardon(names: Iterable<string>): ReadonlyMap<string, number> {
    let pardoned = false;
    for (const name of names) pardoned = this.#rejected.delete(name) || pardoned;
    if (this.#rejected.size === 0) this.#newest = undefined;
    const again = new Map<string, number>();
    if (!pardoned) return again;
    for (const [name, { since, suspect }] of this.#rejected) if (suspect) again.set(name, since);
    return again;
  }
}
