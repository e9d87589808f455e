/**
 * The little of the protobuf wire format that the hot path needs: writing length-delimited fields
 * and reading requests without building message objects.
 * https://protobuf.dev/programming-guides/encoding/
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** A string or bytes field with its tag and length. */
export function lengthDelimited(field: number, value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const head = fieldHead(field, bytes.length);
  return Buffer.concat([head, bytes], head.length + bytes.length);
}

/** Tag and length of a length-delimited field whose `length` bytes follow. */
export function fieldHead(field: number, length: number): Buffer {
  return Buffer.from([...varint((field << 3) | LENGTH_DELIMITED), ...varint(length)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
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
        case VARINT:
          this.#varint();
          break;
        case FIXED64:
          this.end += 8;
          break;
        case LENGTH_DELIMITED: {
          const length = this.#varint();
          this.field = Math.floor(tag / 8);
          this.start = this.end;
          this.end += length;
          if (this.end > this.bytes.length) throw new RangeError('truncated field');
          return true;
        }
        case FIXED32:
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
