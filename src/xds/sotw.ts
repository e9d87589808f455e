/**
 * State-of-the-world xDS: envoy.service.discovery.v3.DiscoveryRequest and -Response.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#basic-protocol-overview
 */
import { readRejection } from './delta.js';
import type { DiscoveryRequest, DiscoveryResponse, Protocol, Rejection } from './protocol.js';
import { isFullState } from './resource.js';
import { lengthDelimited, XdsWireReader } from './xds-wire.js';

const REQUEST = { version: 1, node: 2, names: 3, typeUrl: 4, nonce: 5, error: 6 } as const;
const RESPONSE = { version: 1, typeUrl: 4, nonce: 5 } as const;

/** A protocol object remembers name lists; one for each server. */
export function createSotw(): Protocol {
  const lists = new NameLists();
  return {
    name: 'sotw',
    isFullState,
    // For the other types a removal shows in the parent resource no longer naming the child.
    tellsRemovals: isFullState,
    decode: (bytes) => decode(bytes, lists),
    encode,
  };
}

const NO_NAMES: ReadonlySet<string> = new Set();

function decode(bytes: Buffer, lists: NameLists): DiscoveryRequest {
  let version = '';
  let node: Buffer | undefined;
  let names = NO_NAMES;
  let typeUrl = '';
  let nonce = '';
  let rejection: Rejection | undefined;
  const reader = new XdsWireReader(bytes);
  while (reader.next()) {
    switch (reader.field) {
      case REQUEST.version:
        version = reader.text();
        break;
      case REQUEST.node:
        node = reader.content();
        break;
      case REQUEST.names: {
        const run = lists.read(reader);
        names = names.size === 0 ? run : new Set([...names, ...run]);
        break;
      }
      case REQUEST.typeUrl:
        typeUrl = reader.text();
        break;
      case REQUEST.nonce:
        nonce = reader.text();
        break;
      case REQUEST.error:
        rejection = readRejection(reader.content());
        break;
    }
  }
  return {
    node,
    typeUrl,
    nonce,
    rejection,
    names: { kind: 'all', names },
    known: { kind: 'whole', version },
  };
}

function encode(response: DiscoveryResponse): Buffer {
  return Buffer.concat([
    lengthDelimited(RESPONSE.version, response.version),
    ...response.resources,
    lengthDelimited(RESPONSE.typeUrl, response.typeUrl),
    lengthDelimited(RESPONSE.nonce, response.nonce),
  ]);
}

// A state-of-the-world client repeats all its resource names in every acknowledgement, thousands of
// them. They are compared as bytes with lists seen before and decoded only when they are new; streams
// that ask for the same names share one set.

/** Shorter lists are decoded faster than they are looked up. */
const WORTH_REMEMBERING_BYTES = 1024;
const MAX_LISTS = 64;

interface NameList {
  /** The fields as they came, with their tags. */
  readonly raw: Buffer;
  readonly names: ReadonlySet<string>;
}

class NameLists {
  /** The most recently used first. */
  readonly #lists: NameList[] = [];

  /**
   * Reads the run of fields with the number of the reader's current one and leaves the reader at its
   * last. The set may be shared: it must not be changed.
   */
  read(reader: XdsWireReader): ReadonlySet<string> {
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
