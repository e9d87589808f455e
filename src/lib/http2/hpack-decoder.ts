/** Reads compressed header blocks (HPACK, RFC 7541) of one connection. */
import { STATIC_TABLE } from './hpack-static-table.js';
import { decodeHuffman } from './huffman.js';

/** The block cannot be read, and with it none that follows on the connection (RFC 9113, section 4.3). */
export class CompressionError extends Error {
  override readonly name = 'CompressionError';
}

/** What each field of a block is told to, in order. */
export type FieldVisitor = (name: string, value: string) => void;

type Field = readonly [name: string, value: string];

/** SETTINGS_HEADER_TABLE_SIZE of this side: the value that HTTP/2 starts with. */
const TABLE_BYTES = 4096;
/** What a field counts beside its octets (RFC 7541, section 4.1). */
const FIELD_OVERHEAD = 32;
/** Enough for every index and length within the limits of a block, and no overflow of 32 bits. */
const LARGEST_SHIFT = 21;

export class HpackDecoder {
  /** The dynamic table, the newest field last. */
  readonly #fields: Field[] = [];
  #bytes = 0;
  #capacity = TABLE_BYTES;
  #revision = 0;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Changes whenever the table does. */
  get revision(): number {
    return this.#revision;
  }

  /** Throws CompressionError. */
  decode(block: Buffer, visit: FieldVisitor): void {
    this.#block = block;
    this.#at = 0;
    let first = true;
    while (this.#at < block.length) {
      const octet = block[this.#at] ?? 0;
      if (octet >= 0x80) {
        const [name, value] = this.#field(this.#integer(7));
        visit(name, value);
      } else if (octet >= 0x40) {
        const field = this.#literal(6);
        this.#remember(field);
        visit(field[0], field[1]);
      } else if (octet >= 0x20) {
        if (!first) throw new CompressionError('a table size comes after a field');
        this.#resize(this.#integer(5));
        continue;
      } else {
        const [name, value] = this.#literal(4);
        visit(name, value);
      }
      first = false;
    }
  }

  #literal(prefixBits: number): Field {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#field(index)[0];
    return [name, this.#string()];
  }

  #field(index: number): Field {
    const field =
      index <= STATIC_TABLE.length
        ? STATIC_TABLE[index - 1]
        : this.#fields[this.#fields.length - (index - STATIC_TABLE.length)];
    if (!field) throw new CompressionError(`there is no field ${index}`);
    return field;
  }

  #remember(field: Field): void {
    this.#revision++;
    const bytes = size(field);
    this.#evict(this.#capacity - bytes);
    // One that is larger than the table empties it and is not kept (RFC 7541, section 4.4).
    if (bytes > this.#capacity) return;
    this.#fields.push(field);
    this.#bytes += bytes;
  }

  #resize(capacity: number): void {
    if (capacity > TABLE_BYTES) throw new CompressionError('the table is larger than agreed');
    this.#revision++;
    this.#capacity = capacity;
    this.#evict(capacity);
  }

  #evict(limit: number): void {
    while (this.#bytes > Math.max(0, limit)) {
      const oldest = this.#fields.shift();
      if (!oldest) return;
      this.#bytes -= size(oldest);
    }
  }

  /** RFC 7541, section 5.1. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#octet() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= LARGEST_SHIFT; shift += 7) {
      const octet = this.#octet();
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    throw new CompressionError('a number is too large');
  }

  /** RFC 7541, section 5.2. */
  #string(): string {
    const huffman = (this.#block[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#block.length) throw new CompressionError('a string is cut');
    this.#at = end;
    if (!huffman) return this.#block.toString('latin1', start, end);
    const octets = decodeHuffman(this.#block, start, end);
    if (!octets) throw new CompressionError('a string is not Huffman-coded');
    return octets.toString('latin1');
  }

  #octet(): number {
    const octet = this.#block[this.#at++];
    if (octet === undefined) throw new CompressionError('the block is cut');
    return octet;
  }
}

function size([name, value]: Field): number {
  return name.length + value.length + FIELD_OVERHEAD;
}
