/**
 * Strings that come with nearly every request, by their bytes. To make one anew costs a call out of
 * JavaScript, its memory, and its hash where it is looked up: for a token more than all the rest of a
 * check's reading. What comes again is also the same string, which compares by its address.
 */

export interface TextCacheOptions {
  /** A power of two. A text that falls on another's place takes it. */
  readonly places: number;
  /** Of all texts together: with more, all are forgotten. */
  readonly maxBytes: number;
}

/** Ends differ where beginnings are alike: paths, tokens of one issuer. */
const HASHED_BYTES = 16;
/** From here on a call out of JavaScript compares faster than a loop. */
const LONG_BYTES = 40;

export class TextCache {
  readonly #maxBytes: number;
  readonly #bytes: (Buffer | undefined)[];
  readonly #texts: string[];
  #held = 0;

  constructor({ places, maxBytes }: TextCacheOptions) {
    this.#maxBytes = maxBytes;
    this.#bytes = Array.from({ length: places });
    this.#texts = Array.from({ length: places }, () => '');
  }

  /** The UTF-8 text of these bytes; what is no UTF-8 becomes U+FFFD. */
  text(bytes: Buffer, start: number, end: number): string {
    const place = hashOf(bytes, start, end) & (this.#bytes.length - 1);
    const known = this.#bytes[place];
    if (known && isSame(known, bytes, start, end)) return this.#texts[place] ?? '';
    const text = bytes.toString('utf8', start, end);
    this.#held += end - start - (known?.length ?? 0);
    if (this.#held > this.#maxBytes) {
      this.#bytes.fill(undefined);
      this.#texts.fill('');
      this.#held = 0;
      return text;
    }
    this.#bytes[place] = Buffer.from(bytes.subarray(start, end));
    this.#texts[place] = text;
    return text;
  }
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = end - start;
  for (let i = Math.max(start, end - HASHED_BYTES); i < end; i++) {
    hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
  }
  return hash ^ (hash >>> 15);
}

function isSame(known: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const { length } = known;
  if (length !== end - start) return false;
  if (length >= LONG_BYTES) return bytes.compare(known, 0, length, start, end) === 0;
  for (let i = 0; i < length; i++) {
    if (known[i] !== bytes[start + i]) return false;
  }
  return true;
}
