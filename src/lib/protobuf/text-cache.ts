/**
 * Strings that come with nearly every request, by their bytes. To make one anew costs a call out of
 * JavaScript, its memory, and its hash where it is looked up: for a token more than all the rest of a
 * check's reading. What comes again is also the same string, which compares by its address.
 */

export interface TextCacheOptions {
  /** A power of two. A text that falls on another's place takes it. */
  readonly places: number;
  /** Of all texts together, with those whose place was taken: with more, all are forgotten. */
  readonly maxBytes: number;
}

/** Ends differ where beginnings are alike: paths, tokens of one issuer. */
const HASHED_BYTES = 16;
/** From here on a call out of JavaScript compares faster than a loop. */
const LONG_BYTES = 40;

export class TextCache {
  /**
   * The texts' bytes, one after the other. A buffer for each would cost more than most texts, and a
   * small one is a slice of Node's pool, which keeps all 8 KiB of it.
   */
  readonly #bytes: Buffer;
  readonly #starts: Uint32Array;
  readonly #lengths: Uint32Array;
  readonly #texts: string[];
  #used = 0;

  constructor({ places, maxBytes }: TextCacheOptions) {
    this.#bytes = Buffer.allocUnsafeSlow(maxBytes);
    this.#starts = new Uint32Array(places);
    this.#lengths = new Uint32Array(places);
    this.#texts = Array.from<string>({ length: places }).fill('');
  }

  /** The UTF-8 text of these bytes; what is no UTF-8 becomes U+FFFD. */
  text(bytes: Buffer, start: number, end: number): string {
    const place = hashOf(bytes, start, end) & (this.#texts.length - 1);
    if (this.#isAt(place, bytes, start, end)) return this.#texts[place] ?? '';
    const text = bytes.toString('utf8', start, end);
    const length = end - start;
    if (length > this.#bytes.length) return text;
    if (this.#used + length > this.#bytes.length) this.#forget();
    bytes.copy(this.#bytes, this.#used, start, end);
    this.#starts[place] = this.#used;
    this.#lengths[place] = length;
    this.#texts[place] = text;
    this.#used += length;
    return text;
  }

  #isAt(place: number, bytes: Buffer, start: number, end: number): boolean {
    const length = this.#lengths[place] ?? 0;
    if (length !== end - start) return false;
    const known = this.#bytes;
    const from = this.#starts[place] ?? 0;
    if (length >= LONG_BYTES) return bytes.compare(known, from, from + length, start, end) === 0;
    for (let i = 0; i < length; i++) {
      if (known[from + i] !== bytes[start + i]) return false;
    }
    return true;
  }

  #forget(): void {
    this.#lengths.fill(0);
    this.#texts.fill('');
    this.#used = 0;
  }
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = end - start;
  for (let i = Math.max(start, end - HASHED_BYTES); i < end; i++) {
    hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
  }
  return hash ^ (hash >>> 15);
}
