/**
 * The protobuf wire format, as far as a hand-written codec needs it.
 * https://protobuf.dev/programming-guides/encoding/
 */

export const WireType = { VARINT: 0, FIXED64: 1, BYTES: 2, FIXED32: 5 } as const;

/** The bytes are not what the protobuf wire format allows. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

const NOTHING = Buffer.alloc(0);

/** What `WireReader.next` found. */
export type Step =
  /** A whole field: `field`, `wireType` and either `value` or `start`–`end` are set. */
  | 'field'
  /** A field whose bytes go on beyond those at hand: `field` is set if its tag could be read, else 0. */
  | 'cut'
  | 'end';

/**
 * Walks over the fields of one message, of which perhaps only the first bytes are at hand.
 *
 * Where parsers differ or a writer never goes (tags and lengths longer than they need be, groups, field
 * number 0) it refuses, so that what it reads is what every protobuf implementation reads.
 */
export class WireReader {
  #bytes: Buffer;
  /** Where the message ends. */
  #end: number;
  /** Where the bytes at hand end; at most `#end`. */
  #available: number;
  #position: number;
  /** What `inner` returns. */
  #inner: WireReader | undefined;

  field = 0;
  wireType = 0;
  /** Of a VARINT field its low 32 bits, and not zero if any higher bit is set. */
  value = 0;
  /** Of a VARINT field all of it, exact up to 2^53. */
  wide = 0;
  /** The content of a BYTES field. On 'cut', `end` is where it will end, or Infinity if its length is cut too. */
  start = 0;
  end = 0;

  constructor(bytes: Buffer, start: number, end: number, available = end) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.#available = Math.min(end, available, bytes.length);
  }

  /** Begins anew, with another message. */
  reset(bytes: Buffer, start: number, end: number): this {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.#available = Math.min(end, bytes.length);
    return this;
  }

  /**
   * Over the message in the current BYTES field, or in that of these bytes. It is the same reader each time, so
   * that nothing is left of those that have been read: whoever asks for the next one is done with this one.
   */
  inner(start = this.start, end = this.end): WireReader {
    this.#inner ??= new WireReader(NOTHING, 0, 0);
    return this.#inner.reset(this.#bytes, start, end);
  }

  /** Moves to the next field. Throws MalformedMessage. */
  next(): Step {
    this.field = 0;
    if (this.#position >= this.#available) return this.#available < this.#end ? 'cut' : 'end';
    if (!this.#varint(5)) return 'cut';
    const tag = this.value;
    if (tag >>> 3 === 0) throw new MalformedMessage('field number 0');
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    switch (this.wireType) {
      case WireType.VARINT:
        return this.#varint(10) ? 'field' : 'cut';
      case WireType.BYTES: {
        this.start = this.#available;
        this.end = Infinity;
        if (!this.#varint(5)) return 'cut';
        return this.#take(this.value);
      }
      case WireType.FIXED64:
        return this.#take(8);
      case WireType.FIXED32:
        return this.#take(4);
      default:
        throw new MalformedMessage(`wire type ${this.wireType}`);
    }
  }

  /** Moves to the next BYTES field, for whom no other is of interest. Throws MalformedMessage. */
  nextBytes(): boolean {
    while (this.next() === 'field') {
      if (this.wireType === WireType.BYTES) return true;
    }
    return false;
  }

  #take(length: number): Step {
    this.start = this.#position;
    this.end = this.#position + length;
    if (this.end > this.#end) throw new MalformedMessage('a field is longer than its message');
    this.#position = this.end;
    return this.end > this.#available ? 'cut' : 'field';
  }

  /** Reads a varint of at most `maxBytes` bytes into `value`; false if it is cut. */
  #varint(maxBytes: number): boolean {
    const first = this.#bytes[this.#position] ?? 0;
    if (first < 0x80 && this.#position < this.#available) {
      this.#position++;
      this.value = first;
      this.wide = first;
      return true;
    }
    let value = 0;
    let high = 0;
    for (let i = 0; i < maxBytes; i++) {
      if (this.#position >= this.#available) {
        if (this.#available < this.#end) return false;
        throw new MalformedMessage('the message ends inside a varint');
      }
      const byte = this.#bytes[this.#position++] ?? 0;
      if (i === 4 && maxBytes === 5 && byte > 0x0f) {
        throw new MalformedMessage('a varint is too long');
      }
      if (i < 5) value |= (byte & 0x7f) << (7 * i);
      if (i >= 4) high += (byte & 0x7f) * 2 ** (7 * i - 28);
      if (byte < 0x80) {
        if (maxBytes === 5 && byte === 0) throw new MalformedMessage('a varint is too long');
        // Of the fifth byte 4 bits are part of the low 32.
        this.wide = ((value & 0x0fff_ffff) >>> 0) + high * 2 ** 28;
        this.value = high >= 16 ? (value | 1) >>> 0 : value >>> 0;
        return true;
      }
    }
    throw new MalformedMessage('a varint is too long');
  }
}

/** A BYTES field of this content, tag and length included, as a copy. */
export function bytesField(field: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const head = fieldHead(field, length);
  return Buffer.concat([head, ...content], head.length + length);
}

/** Tag and length of a BYTES field whose `length` bytes follow. */
export function fieldHead(field: number, length: number): Buffer {
  return Buffer.from([...varint((field << 3) | WireType.BYTES), ...varint(length)]);
}

/** The bytes of a whole number from 0 to 2^31. */
export function varint(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}

// Writes protobuf messages from their end to their beginning, so that the length of a nested message
// is known when its tag is written and nothing is measured twice. Fields are therefore added in
// reverse order.

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
