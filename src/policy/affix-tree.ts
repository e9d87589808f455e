/** Finds what was added under a beginning of a name, or under an end of it, without trying each. */

interface Node<T> {
  /** Of the key, behind what the nodes above it have. */
  readonly label: string;
  readonly values: readonly T[];
  /** By the first UTF-16 code unit of their labels, as read from `side`. */
  readonly next: Map<number, Node<T>>;
}

/** A radix tree: a step goes over all that the keys below have in common. */
export class AffixTree<T> {
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
    if (rest === '') return { label, values: [...values, value], next };
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
