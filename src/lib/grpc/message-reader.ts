/** Cuts a stream of bytes into gRPC messages: a flag, four bytes of length, content. */
import { GatewayError } from '../../model/errors.js';
import { MESSAGE_HEADER_BYTES } from './http2-calls.js';

/** A message that says that it is long is believed as it comes. */
const FIRST_BYTES = 64 * 1024;

export class MessageReader {
  readonly #maxBytes: number;
  readonly #hold: (bytes: number) => void;
  readonly #header = Buffer.alloc(MESSAGE_HEADER_BYTES);
  #headerBytes = 0;
  /** Of the message whose end has not come: its length, what has come of it, and room for it. */
  #length = 0;
  #received = 0;
  #partial: Buffer | undefined;

  /** @param hold told how many bytes more are kept; below zero, that they are kept no longer */
  constructor(maxBytes: number, hold: (bytes: number) => void) {
    this.#maxBytes = maxBytes;
    this.#hold = hold;
  }

  /**
   * Gives each message that is whole by now; its bytes are valid until `take` returns.
   * @throws GatewayError MESSAGE_TOO_LARGE, or METHOD_UNKNOWN for a compressed one.
   */
  read(chunk: Buffer, take: (message: Buffer) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < MESSAGE_HEADER_BYTES) {
        const copied = chunk.copy(
          this.#header,
          this.#headerBytes,
          at,
          at + MESSAGE_HEADER_BYTES - this.#headerBytes,
        );
        this.#headerBytes += copied;
        at += copied;
        if (this.#headerBytes < MESSAGE_HEADER_BYTES) return;
        this.#begin();
        if (at === chunk.length) break;
      }
      const end = at + this.#length - this.#received;
      if (this.#received === 0 && end <= chunk.length) {
        this.#headerBytes = 0;
        take(chunk.subarray(at, end));
      } else if (this.#keep(chunk.subarray(at, end))) take(this.#finish());
      at = end;
    }
    // A message without content ends with its header.
    if (this.#headerBytes === MESSAGE_HEADER_BYTES && this.#length === 0) {
      this.#headerBytes = 0;
      take(Buffer.alloc(0));
    }
  }

  #begin(): void {
    if (this.#header[0] !== 0) {
      throw new GatewayError('METHOD_UNKNOWN', 'Compressed messages are not read here.');
    }
    this.#length = this.#header.readUInt32BE(1);
    this.#received = 0;
    if (this.#length <= this.#maxBytes) return;
    throw new GatewayError(
      'MESSAGE_TOO_LARGE',
      `A message may have ${this.#maxBytes} bytes here, not ${this.#length}.`,
    );
  }

  /** Returns whether the message is whole. */
  #keep(part: Buffer): boolean {
    const needed = this.#received + part.length;
    if (!this.#partial || this.#partial.length < needed) {
      const least = Math.max(needed, FIRST_BYTES, 2 * (this.#partial?.length ?? 0));
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#length, least));
      this.#partial?.copy(grown, 0, 0, this.#received);
      this.#hold(grown.length - (this.#partial?.length ?? 0));
      this.#partial = grown;
    }
    part.copy(this.#partial, this.#received);
    this.#received = needed;
    return needed === this.#length;
  }

  #finish(): Buffer {
    const message = this.#partial ?? Buffer.alloc(0);
    this.#hold(-message.length);
    this.#partial = undefined;
    this.#headerBytes = 0;
    this.#received = 0;
    return message;
  }
}
