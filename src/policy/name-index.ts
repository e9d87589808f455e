/** Finds what belongs to the names and patterns that match a name, without trying each. */
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
  readonly #beginnings = new Tree<Entry<T>>();
  readonly #ends = new Tree<Entry<T>>();

  add(names: NameSet, value: T): void {
    for (const name of names.exact) {
      const values = this.#exact.get(name);
      if (values) values.push(value);
      else this.#exact.set(name, [value]);
    }
    for (const glob of names.globs) {
      const { pattern } = glob;
      const entry = { glob, value };
      if (pattern.startsWith('*')) {
        this.#ends.add(reversed(pattern.slice(pattern.lastIndexOf('*') + 1)), entry);
      } else {
        this.#beginnings.add(pattern.slice(0, pattern.indexOf('*')), entry);
      }
    }
  }

  *find(name: string): Generator<T> {
    yield* this.#exact.get(name) ?? [];
    for (const { glob, value } of this.#beginnings.along(name)) if (glob.matches(name)) yield value;
    if (this.#ends.isEmpty) return;
    for (const { glob, value } of this.#ends.along(reversed(name))) {
      if (glob.matches(name)) yield value;
    }
  }
}

interface Node<T> {
  readonly next: Map<number, Node<T>>;
  readonly here: T[];
}

/** By the UTF-16 code units of a key. */
class Tree<T> {
  readonly #root: Node<T> = { next: new Map(), here: [] };

  get isEmpty(): boolean {
    return this.#root.next.size === 0 && this.#root.here.length === 0;
  }

  add(key: string, value: T): void {
    let node = this.#root;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      let next = node.next.get(unit);
      if (!next) node.next.set(unit, (next = { next: new Map(), here: [] }));
      node = next;
    }
    node.here.push(value);
  }

  /** What was added under a beginning of the name. */
  along(name: string): readonly T[] {
    const found: T[] = [];
    let node: Node<T> | undefined = this.#root;
    for (let i = 0; node; i++) {
      if (node.here.length > 0) found.push(...node.here);
      node = i < name.length ? node.next.get(name.charCodeAt(i)) : undefined;
    }
    return found;
  }
}

function reversed(text: string): string {
  let result = '';
  for (let i = text.length - 1; i >= 0; i--) result += text.charAt(i);
  return result;
}
