/** Reads the header blocks of one connection. */
import { MAX_BLOCK_BYTES, MAX_CONTINUATIONS } from './budgets.js';
import { ConnectionError, ErrorCode } from './frame.js';
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

/** A header block whose end has not come. */
export class PartialBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly #parts: Buffer[];
  #bytes: number;

  constructor(streamId: number, endStream: boolean, first: Buffer) {
    this.streamId = streamId;
    this.endStream = endStream;
    this.#parts = [Buffer.from(first)];
    this.#bytes = first.length;
  }

  /** Throws ConnectionError if it is more than any request needs. */
  add(part: Buffer): void {
    this.#parts.push(Buffer.from(part));
    this.#bytes += part.length;
    if (this.#bytes > MAX_BLOCK_BYTES || this.#parts.length > MAX_CONTINUATIONS) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'a header block is too large');
    }
  }

  whole(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
