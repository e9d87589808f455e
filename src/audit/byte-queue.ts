/** First in, first out, bounded by the bytes of what it holds or has handed out and not got back. */
export interface Sized {
  readonly bytes: number;
}

export class ByteQueue<T extends Sized> {
  readonly #limitBytes: number;
  #items: T[] = [];
  #head = 0;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Items that have not been taken. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Of all that was pushed and not released. */
  get bytes(): number {
    return this.#bytes;
  }

  /** false: it does not fit and was not taken in. */
  push(item: T): boolean {
    if (this.#bytes + item.bytes > this.#limitBytes) return false;
    this.#bytes += item.bytes;
    this.#items.push(item);
    return true;
  }

  /** The oldest items: as many as fit into these limits, but one at least. Their bytes count until `release`. */
  take(mostItems: number, mostBytes: number): T[] {
    let end = this.#head;
    let bytes = 0;
    while (end < this.#items.length && end - this.#head < mostItems) {
      bytes += this.#items[end]?.bytes ?? 0;
      if (bytes > mostBytes && end > this.#head) break;
      end += 1;
    }
    const taken = this.#items.slice(this.#head, end);
    this.#head = end;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  release(items: readonly T[]): void {
    for (const { bytes } of items) this.#bytes -= bytes;
  }
}
