/**
 * A state-of-the-world client repeats all its resource names in every acknowledgement, thousands of
 * them. They are compared as bytes with lists seen before and decoded only when they are new; streams
 * that ask for the same names share one set.
 */
import type { WireReader } from './wire.js';

/** Shorter lists are decoded faster than they are looked up. */
const WORTH_REMEMBERING_BYTES = 1024;
const MAX_LISTS = 64;

interface NameList {
  /** The fields as they came, with their tags. */
  readonly raw: Buffer;
  readonly names: ReadonlySet<string>;
}

export class NameLists {
  /** The most recently used first. */
  readonly #lists: NameList[] = [];

  /**
   * Reads the run of fields with the number of the reader's current one and leaves the reader at its
   * last. The set may be shared: it must not be changed.
   */
  read(reader: WireReader): ReadonlySet<string> {
    const { bytes, tagStart, field } = reader;
    const index = this.#lists.findIndex(({ raw }) => startsWithRun(bytes, tagStart, raw));
    const [known] = index < 0 ? [] : this.#lists.splice(index, 1);
    if (known) {
      this.#lists.unshift(known);
      reader.end = tagStart + known.raw.length;
      return known.names;
    }
    const names = new Set<string>();
    let end = tagStart;
    do {
      names.add(reader.text());
      end = reader.end;
    } while (sameTag(bytes, tagStart, end) && reader.next() && reader.field === field);
    if (end - tagStart >= WORTH_REMEMBERING_BYTES) {
      this.#lists.unshift({ raw: Buffer.from(bytes.subarray(tagStart, end)), names });
      this.#lists.length = Math.min(this.#lists.length, MAX_LISTS);
    }
    return names;
  }
}

/** Whether exactly the fields in `raw` stand at `start`, and no further one of the same number. */
function startsWithRun(bytes: Buffer, start: number, raw: Buffer): boolean {
  const end = start + raw.length;
  return (
    end <= bytes.length &&
    bytes.compare(raw, 0, raw.length, start, end) === 0 &&
    !sameTag(bytes, start, end)
  );
}

/** Field numbers below 16 have a tag of one byte. */
function sameTag(bytes: Buffer, first: number, second: number): boolean {
  return bytes[first] === bytes[second];
}
