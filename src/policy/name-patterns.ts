/** Finds what belongs to the names and patterns that match a name, without trying each. */

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

// Name patterns: `*` stands for any text, everything else for itself.

export interface Glob {
  readonly pattern: string;
  matches(name: string): boolean;
}

/**
 * Compiles a pattern; matching is linear in the name for each `*`, never exponential.
 * With `separator`, `*` stops there: `spiffe://a/ns/*` does not match `spiffe://a/ns/b/sa/c`.
 */
export function compileGlob(pattern: string, separator?: string): Glob {
  if (!pattern.includes('*')) return { pattern, matches: (name) => name === pattern };
  if (separator !== undefined) return segmentedGlob(pattern, separator);
  const parts = pattern.split('*');
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  const middle = parts.slice(1, -1).filter((part) => part !== '');
  const least = parts.reduce((total, part) => total + part.length, 0);
  return {
    pattern,
    matches(name) {
      if (name.length < least || !name.startsWith(first) || !name.endsWith(last)) return false;
      const end = name.length - last.length;
      let at = first.length;
      for (const part of middle) {
        const found = name.indexOf(part, at);
        if (found === -1) return false;
        at = found + part.length;
      }
      return at <= end;
    },
  };
}

function segmentedGlob(pattern: string, separator: string): Glob {
  const segments = pattern.split(separator).map((segment) => compileGlob(segment));
  return {
    pattern,
    matches(name) {
      const parts = name.split(separator);
      return (
        parts.length === segments.length &&
        segments.every((segment, index) => segment.matches(parts[index] ?? ''))
      );
    },
  };
}

/** A set of names and patterns. */
export class NameSet {
  readonly exact: ReadonlySet<string>;
  readonly globs: readonly Glob[];

  constructor(patterns: readonly string[]) {
    const different = [...new Set(patterns)];
    this.exact = new Set(different.filter((pattern) => !pattern.includes('*')));
    this.globs = different.filter((pattern) => pattern.includes('*')).map((p) => compileGlob(p));
  }

  matches(name: string): boolean {
    return this.exact.has(name) || this.globs.some((glob) => glob.matches(name));
  }
}

// Finds what was added under a beginning of a name, or under an end of it, without trying each.

interface Node<T> {
  /** Of the key, behind what the nodes above it have. */
  readonly label: string;
  readonly values: T[];
  /** By the first UTF-16 code unit of their labels, as read from `side`. */
  readonly next: Map<number, Node<T>>;
}

/** A radix tree: a step goes over all that the keys below have in common. */
class AffixTree<T> {
  readonly #fromEnd: boolean;
  #root: Node<T> = { label: '', values: [], next: new Map() };

  constructor(side: 'beginning' | 'end') {
    this.#fromEnd = side === 'end';
  }

  get isEmpty(): boolean {
    return this.#root.next.size === 0 && this.#root.values.length === 0;
  }

  add(key: string, value: T): void {
    this.#root = this.#with(this.#root, key, value);
  }

  /** Calls back with what was added under each beginning, or end, of the name. */
  along(name: string, found: (value: T) => void): void {
    let node: Node<T> | undefined = this.#root;
    for (let passed = 0; node;) {
      for (const value of node.values) found(value);
      node = passed < name.length ? node.next.get(this.#unit(name, passed)) : undefined;
      if (node && !this.#has(name, node.label, passed)) return;
      passed += node?.label.length ?? 0;
    }
  }

  /** `key` begins with the node's label. */
  #with(node: Node<T>, key: string, value: T): Node<T> {
    const { label, values, next } = node;
    const rest = this.#behind(key, label.length);
    if (rest === '') {
      values.push(value);
      return node;
    }
    const unit = this.#unit(rest, 0);
    const child = next.get(unit);
    const below = child
      ? this.#with(this.#split(child, rest), rest, value)
      : { label: rest, values: [value], next: new Map<number, Node<T>>() };
    next.set(unit, below);
    return node;
  }

  /** The same node if all of its label begins the key, else one above it for what they have in common. */
  #split(node: Node<T>, key: string): Node<T> {
    const { label, values, next } = node;
    const longest = Math.min(label.length, key.length);
    let common = 0;
    while (common < longest && this.#unit(label, common) === this.#unit(key, common)) common++;
    if (common === label.length) return node;
    const rest = this.#behind(label, common);
    const below = { label: rest, values, next };
    const shared = this.#fromEnd ? label.slice(label.length - common) : label.slice(0, common);
    return { label: shared, values: [], next: new Map([[this.#unit(rest, 0), below]]) };
  }

  #unit(text: string, passed: number): number {
    return text.charCodeAt(this.#fromEnd ? text.length - 1 - passed : passed);
  }

  #behind(text: string, passed: number): string {
    return this.#fromEnd ? text.slice(0, text.length - passed) : text.slice(passed);
  }

  #has(name: string, label: string, passed: number): boolean {
    return this.#fromEnd
      ? name.endsWith(label, name.length - passed)
      : name.startsWith(label, passed);
  }
}
