/**
 * The names that clients ask for. An Envoy names thousands, a state-of-the-world one with every
 * acknowledgement, and most name the same ones: a set of names is kept once, in whatever order it
 * came, for as long as anybody is subscribed to it, and bytes that come again are not decoded again.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../model/errors.js';
import { XdsWireReader } from './xds-wire.js';

export const WILDCARD = '*';

/** What clients may make a server keep; far above what thousands of namespaces need. */
export interface NameLimits {
  /** Names of one type on one stream. */
  readonly names: number;
  /** Of one name, bytes. */
  readonly nameBytes: number;
  /** Of all names of one type on one stream, with `NAME_OVERHEAD_BYTES` for each, bytes. */
  readonly listBytes: number;
  /** The same of everything that is subscribed to, each set counted once. */
  readonly totalBytes: number;
  /** Of lists that are kept as they came, to know them again by comparison instead of by a hash. */
  readonly rawBytes: number;
}

export const NAME_LIMITS: NameLimits = {
  names: 50_000,
  nameBytes: 4_096,
  listBytes: 8 * 1024 * 1024,
  totalBytes: 256 * 1024 * 1024,
  rawBytes: 16 * 1024 * 1024,
};

/** What a name costs beside its own bytes: a string and its place in a set, bytes. */
const NAME_OVERHEAD_BYTES = 48;
/** Shorter lists are decoded faster than they are hashed. */
const WORTH_A_HASH_BYTES = 1_024;
/** A set of names, without the wildcard. Sets that are held are equal only if they are the same. */
export interface NameSet {
  readonly names: ReadonlySet<string>;
  /** Estimate of what it takes, bytes. */
  readonly bytes: number;
}

export const NO_NAMES: NameSet = { names: new Set(), bytes: 0 };

/** One list of names as it came. */
export interface NameList {
  readonly set: NameSet;
  /** Whether `*` was among them. */
  readonly wildcard: boolean;
  /** The fields, with their tags; undefined when there is no room for them. */
  readonly raw: Buffer | undefined;
  /** Their hash; undefined for a short list. */
  readonly hash: string | undefined;
}

export const NO_LIST: NameList = {
  set: NO_NAMES,
  wildcard: false,
  raw: undefined,
  hash: undefined,
};

interface Held<T> {
  readonly value: T;
  /** How many hold it. */
  users: number;
}

export class NameTable {
  readonly #limits: NameLimits;
  /** By a hash of their names in order. */
  readonly #sets = new Map<string, Held<NameSet>>();
  readonly #keys = new Map<NameSet, string>();
  /** By the hash of their bytes. */
  readonly #lists = new Map<string, Held<NameList>>();
  #bytes = 0;
  #rawBytes = 0;

  constructor(limits: NameLimits = NAME_LIMITS) {
    this.#limits = limits;
  }

  get limits(): NameLimits {
    return this.#limits;
  }

  /** Of all sets that are held, and of all lists that are kept as they came. */
  get heldBytes(): number {
    return this.#bytes + this.#rawBytes;
  }

  /**
   * Reads the run of fields with the number of the reader's current one and leaves the reader at its
   * last.
   * @param recent lists that are likely to come again.
   * @throws GatewayError XDS_TOO_MANY_NAMES beyond the limits; RangeError when the bytes are no message.
   */
  read(reader: XdsWireReader, recent: Iterable<NameList>): NameList {
    const { bytes, tagStart } = reader;
    for (const list of recent) {
      if (!list.raw || !startsWithRun(bytes, tagStart, list.raw)) continue;
      reader.end = tagStart + list.raw.length;
      return list;
    }
    const run = this.#run(reader);
    const hash = run.length < WORTH_A_HASH_BYTES ? undefined : hashOf(run);
    const known = hash === undefined ? undefined : this.#lists.get(hash);
    return known?.value ?? this.#decode(run, hash);
  }

  /**
   * Everything that is in any of the lists, which are the runs of one message.
   * @throws GatewayError XDS_TOO_MANY_NAMES
   */
  join(lists: readonly NameList[]): NameList {
    const [first = NO_LIST, ...more] = lists;
    if (more.length === 0) return first;
    const { set, ...rest } = nameList(new Set(lists.flatMap((list) => [...list.set.names])));
    this.check(set.names.size, set.bytes);
    return { ...rest, set, wildcard: lists.some((list) => list.wildcard) };
  }

  /**
   * The list to be kept, until as many calls of `release`, instead of what was read.
   * @throws GatewayError XDS_TOO_MANY_NAMES when it is a new one and there is no room for it.
   */
  hold(list: NameList): NameList {
    if (list === NO_LIST) return list;
    const known = list.hash === undefined ? undefined : this.#lists.get(list.hash);
    if (known) {
      known.users += 1;
      return known.value;
    }
    const room = this.#limits.rawBytes - this.#rawBytes;
    const raw = list.raw && list.raw.length <= room ? Buffer.from(list.raw) : undefined;
    const kept = { ...list, set: this.#holdSet(list.set), raw };
    this.#rawBytes += raw?.length ?? 0;
    if (list.hash !== undefined) this.#lists.set(list.hash, { value: kept, users: 1 });
    return kept;
  }

  release(list: NameList): void {
    if (list === NO_LIST) return;
    if (list.hash !== undefined) {
      const held = this.#lists.get(list.hash);
      if (held?.value === list && --held.users > 0) return;
      if (held?.value === list) this.#lists.delete(list.hash);
    }
    this.#rawBytes -= list.raw?.length ?? 0;
    this.#releaseSet(list.set);
  }

  /**
   * Counts bytes of names that are kept beside the sets; below zero, that are kept no longer.
   * @throws GatewayError XDS_TOO_MANY_NAMES when there is no room for them.
   */
  reserve(bytes: number): void {
    if (bytes > 0 && this.#bytes + bytes > this.#limits.totalBytes) {
      throw new GatewayError(
        'XDS_TOO_MANY_NAMES',
        'All clients together name more resources than this control plane keeps.',
      );
    }
    this.#bytes += bytes;
  }

  /** @throws GatewayError XDS_TOO_MANY_NAMES when so many of one type are more than a stream may name. */
  check(names: number, bytes: number): void {
    const { limits } = this;
    if (names <= limits.names && bytes <= limits.listBytes) return;
    throw new GatewayError(
      'XDS_TOO_MANY_NAMES',
      `A stream may name ${limits.names} resources of a type, of ${limits.listBytes} bytes in all ` +
        `(with ${NAME_OVERHEAD_BYTES} more for each).`,
    );
  }

  #holdSet(set: NameSet): NameSet {
    if (set.names.size === 0) return NO_NAMES;
    const key = this.#keys.get(set) ?? hashOf(JSON.stringify([...set.names].toSorted()));
    const known = this.#sets.get(key);
    if (known) {
      known.users += 1;
      return known.value;
    }
    this.reserve(set.bytes);
    this.#sets.set(key, { value: set, users: 1 });
    this.#keys.set(set, key);
    return set;
  }

  #releaseSet(set: NameSet): void {
    const key = this.#keys.get(set);
    const held = key === undefined ? undefined : this.#sets.get(key);
    if (key === undefined || !held || --held.users > 0) return;
    this.reserve(-set.bytes);
    this.#sets.delete(key);
    this.#keys.delete(set);
  }

  /** The bytes of the run, whose limits are looked at before anything is made of it. */
  #run(reader: XdsWireReader): Buffer {
    const { bytes, tagStart, field } = reader;
    let count = 0;
    let end: number;
    do {
      const length = reader.end - reader.start;
      if (length > this.#limits.nameBytes) {
        throw new GatewayError(
          'XDS_TOO_MANY_NAMES',
          `A resource's name may have ${this.#limits.nameBytes} bytes, not ${length}.`,
        );
      }
      count += 1;
      end = reader.end;
      this.check(count, end - tagStart);
    } while (sameTag(bytes, tagStart, end) && reader.next() && reader.field === field);
    return bytes.subarray(tagStart, end);
  }

  #decode(run: Buffer, hash: string | undefined): NameList {
    const reader = new XdsWireReader(run);
    const names = new Set<string>();
    while (reader.next()) names.add(reader.text());
    const list = nameList(names);
    this.check(list.set.names.size, list.set.bytes);
    return { ...list, raw: run, hash };
  }
}

/** The list of some names. The set is kept: it must not be changed afterwards. */
export function nameList(names: Set<string>): NameList {
  if (names.size === 0) return NO_LIST;
  const wildcard = names.delete(WILDCARD);
  let bytes = 0;
  for (const name of names) bytes += nameBytes(name);
  return { set: { names, bytes }, wildcard, raw: undefined, hash: undefined };
}

/** What a name counts for. */
export function nameBytes(name: string): number {
  return name.length + NAME_OVERHEAD_BYTES;
}

function hashOf(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('base64');
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
