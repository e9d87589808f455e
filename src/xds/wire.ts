/**
 * The little of the protobuf wire format that the hot path needs: writing length-delimited fields
 * and reading requests without building message objects.
 * https://protobuf.dev/programming-guides/encoding/
 */

const LENGTH_DELIMITED = 2;

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

/** One length-delimited field inside a buffer; fields of other wire types are passed over. */
export interface WireField {
  number: number;
  start: number;
  end: number;
}

/**
 * Calls `visit` for each length-delimited field of the message in `bytes`. The object given to it is
 * used again for the next field.
 * @throws RangeError when the bytes are no protobuf message.
 */
export function readFields(bytes: Buffer, visit: (field: WireField) => void): void {
  const field: WireField = { number: 0, start: 0, end: 0 };
  let position = 0;
  const readVarint = (): number => {
    let result = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[position++];
      if (byte === undefined || factor > 2 ** 63) throw new RangeError('truncated varint');
      result += (byte & 0x7f) * factor;
      if (byte < 0x80) return result;
    }
  };
  while (position < bytes.length) {
    const tag = readVarint();
    switch (tag & 7) {
      case 0:
        readVarint();
        break;
      case 1:
        position += 8;
        break;
      case LENGTH_DELIMITED: {
        const length = readVarint();
        field.number = Math.floor(tag / 8);
        field.start = position;
        field.end = position + length;
        if (field.end > bytes.length) throw new RangeError('truncated field');
        visit(field);
        position = field.end;
        break;
      }
      case 5:
        position += 4;
        break;
      default:
        throw new RangeError('unknown wire type');
    }
  }
  if (position > bytes.length) throw new RangeError('truncated field');
}
