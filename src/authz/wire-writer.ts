/**
 * Writes protobuf messages from their end to their beginning, so that the length of a nested message
 * is known when its tag is written and nothing is measured twice. Fields are therefore added in
 * reverse order.
 */
import { WireType } from './wire.js';

export class WireWriter {
  #buffer: Buffer;
  /** Where what has been written starts. */
  #position: number;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
    this.#position = initialBytes;
  }

  /** Bytes written so far; remember it before the content of a nested message is added. */
  get length(): number {
    return this.#buffer.length - this.#position;
  }

  string(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(length);
    this.#position -= length;
    this.#buffer.write(value, this.#position, length, length === value.length ? 'latin1' : 'utf8');
    this.#tag(field, length);
  }

  /** Makes what was written since `length` was `before` the content of a message field. */
  message(field: number, before: number): void {
    this.#tag(field, this.length - before);
  }

  /** A varint field of an unsigned number below 2^31. */
  number(field: number, value: number): void {
    this.#reserve(10);
    this.#varint(value);
    this.#varint((field << 3) | WireType.VARINT);
  }

  /** What was written, as a copy; the writer is empty afterwards. */
  finish(): Buffer {
    const written = Buffer.from(this.#buffer.subarray(this.#position));
    this.#position = this.#buffer.length;
    return written;
  }

  #tag(field: number, length: number): void {
    this.#reserve(10);
    this.#varint(length);
    this.#varint((field << 3) | WireType.BYTES);
  }

  #varint(value: number): void {
    let size = 1;
    for (let rest = value >>> 7; rest !== 0; rest >>>= 7) size++;
    this.#position -= size;
    let rest = value;
    for (let i = 0; i < size; i++) {
      this.#buffer[this.#position + i] = i === size - 1 ? rest : (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
  }

  #reserve(bytes: number): void {
    if (this.#position >= bytes) return;
    const written = this.length;
    const grown = Buffer.allocUnsafe(this.#buffer.length * 2 + bytes);
    this.#buffer.copy(grown, grown.length - written, this.#position);
    this.#position = grown.length - written;
    this.#buffer = grown;
  }
}
