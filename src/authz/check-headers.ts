/** The headers of a check. Few of them are looked at, so that a value is read when it is asked for. */
import type { TextCache } from './text-cache.js';

/** As a map has them. */
export interface Headers {
  get(name: string): string | undefined;
  keys(): Iterable<string>;
}

export class CheckHeaders implements Headers {
  readonly #bytes: Buffer;
  readonly #texts: TextCache;
  readonly #names: string[] = [];
  /** Where each value begins and ends. */
  readonly #places: number[] = [];
  /** Those that were asked for. */
  readonly #values: (string | undefined)[] = [];

  constructor(bytes: Buffer, texts: TextCache) {
    this.#bytes = bytes;
    this.#texts = texts;
  }

  add(name: string, start: number, end: number): void {
    this.#names.push(name);
    this.#places.push(start, end);
    this.#values.push(undefined);
  }

  /** Of several copies the last one counts, as in every map of a protobuf message. */
  get(name: string): string | undefined {
    for (let i = this.#names.length - 1; i >= 0; i--) {
      if (this.#names[i] === name) return (this.#values[i] ??= this.#read(i));
    }
    return undefined;
  }

  #read(index: number): string {
    const start = this.#places[index * 2] ?? 0;
    return this.#texts.text(this.#bytes, start, this.#places[index * 2 + 1] ?? start);
  }

  keys(): readonly string[] {
    return this.#names;
  }
}
