/**
 * The little of the protobuf wire format that the hot path needs: writing length-delimited fields
 * and reading requests without building message objects.
 * https://protobuf.dev/programming-guides/encoding/
 */
import { bytesField, WireType } from '../lib/protobuf/wire.js';

/** A string or bytes field with its tag and length. */
export function lengthDelimited(field: number, value: string | Uint8Array): Buffer {
  return bytesField(field, typeof value === 'string' ? Buffer.from(value, 'utf8') : value);
}

/**
 * Walks over the length-delimited fields of one message and passes over all others. Its methods
 * throw RangeError when the bytes are no protobuf message.
 */
export class XdsWireReader {
  readonly bytes: Buffer;
  /** Number of the field that `next` found. */
  field = 0;
  /** Where its tag, its content and what follows it begin. */
  tagStart = 0;
  start = 0;
  end = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Moves to the next length-delimited field; false at the end of the message. */
  next(): boolean {
    let position = this.end;
    while (position < this.bytes.length) {
      this.tagStart = position;
      this.end = position;
      const tag = this.#varint();
      switch (tag & 7) {
        case WireType.VARINT:
          this.#varint();
          break;
        case WireType.FIXED64:
          this.end += 8;
          break;
        case WireType.BYTES: {
          const length = this.#varint();
          this.field = Math.floor(tag / 8);
          this.start = this.end;
          this.end += length;
          if (this.end > this.bytes.length) throw new RangeError('truncated field');
          return true;
        }
        case WireType.FIXED32:
          this.end += 4;
          break;
        default:
          throw new RangeError('unknown wire type');
      }
      position = this.end;
    }
    if (position > this.bytes.length) throw new RangeError('truncated field');
    return false;
  }

  /** The current field as a string. */
  text(): string {
    return this.bytes.toString('utf8', this.start, this.end);
  }

  /** The current field's bytes; shares memory with the message. */
  content(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  #varint(): number {
    let result = 0;
    for (let factor = 1; factor <= 2 ** 63; factor *= 128) {
      const byte = this.bytes[this.end++];
      if (byte === undefined) break;
      result += (byte & 0x7f) * factor;
      if (byte < 0x80) return result;
    }
    throw new RangeError('truncated varint');
  }
}
