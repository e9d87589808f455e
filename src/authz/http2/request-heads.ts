/** Reads the header blocks of one connection. */
import { HpackDecoder } from './hpack-decoder.js';
import { RequestHead } from './request-head.js';

/**
 * A peer that asks one thing sends the same block again and again: that is read once, for as long as
 * the table that it refers to stays what it was.
 */
export class RequestHeads {
  readonly #decoder = new HpackDecoder();
  #block: Buffer | undefined;
  /** The decoder's when the block was read, before and after. */
  #revision = -1;
  #head = new RequestHead();

  /** Throws CompressionError. */
  read(block: Buffer): RequestHead {
    const { revision } = this.#decoder;
    if (revision === this.#revision && this.#block?.equals(block)) return this.#head;
    const head = new RequestHead();
    this.#decoder.decode(block, (name, value) => head.add(name, value));
    if (this.#decoder.revision === revision) {
      this.#block = Buffer.from(block);
      this.#revision = revision;
      this.#head = head;
    }
    return head;
  }
}
