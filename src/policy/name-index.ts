/** Finds what belongs to the names and patterns that match a name, without trying each. */
import { AffixTree } from './affix-tree.js';
import type { Glob, NameSet } from './glob.js';

interface Entry<T> {
  readonly glob: Glob;
  readonly value: T;
}

/**
 * Patterns are kept by their text before the first `*`, those that begin with `*` by their text
 * after the last one: a name leads to the few patterns whose beginning, or end, it has.
 */
export class NameIndex<T> {
  readonly #exact = new Map<string, T[]>();
  readonly #sieve = new Sieve();
  readonly #beginnings = new AffixTree<Entry<T>>('beginning');
  readonly #ends = new AffixTree<Entry<T>>('end');

  add(names: NameSet, value: T): void {
    for (const name of names.exact) {
      this.#sieve.add(name);
      const values = this.#exact.get(name);
      if (values) values.push(value);
      else this.#exact.set(name, [value]);
    }
    for (const glob of names.globs) {
      const { pattern } = glob;
      const entry = { glob, value };
      if (pattern.startsWith('*')) {
        this.#ends.add(pattern.slice(pattern.lastIndexOf('*') + 1), entry);
      } else {
        this.#beginnings.add(pattern.slice(0, pattern.indexOf('*')), entry);
      }
    }
  }

  /** Adds what belongs to each of the names to `found`. */
  find(names: readonly string[], found: Set<T>): void {
    for (const name of names) {
      if (!this.#sieve.mayHave(name)) continue;
      for (const value of this.#exact.get(name) ?? []) found.add(value);
    }
    for (const tree of [this.#beginnings, this.#ends]) {
      if (tree.isEmpty) continue;
      for (const name of names) {
        tree.along(name, ({ glob, value }) => {
          if (glob.matches(name)) found.add(value);
        });
      }
    }
  }
}

/**
 * Says of most names that are not in a set that they are not, by a few of their letters. A Map reads
 * the whole of a name that it has not seen, which is most of the cost for a caller of many groups.
 */
class Sieve {
  readonly #seen = new Uint8Array(1 << 13);

  add(name: string): void {
    this.#seen[this.#slot(name)] = 1;
  }

  mayHave(name: string): boolean {
    return this.#seen[this.#slot(name)] === 1;
  }

  #slot(name: string): number {
    const { length } = name;
    let hash = length;
    for (let from = 1; from <= 4; from++)
      hash = Math.imul(hash, 31) ^ name.charCodeAt(length - from);
    hash = Math.imul(hash, 31) ^ name.charCodeAt(length >> 1);
    return (hash ^ (hash >>> 13)) & (this.#seen.length - 1);
  }
}
