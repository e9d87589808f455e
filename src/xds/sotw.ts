/**
 * State-of-the-world xDS: envoy.service.discovery.v3.DiscoveryRequest and -Response.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#basic-protocol-overview
 */
import { readRejection } from './delta.js';
import { NameLists } from './name-lists.js';
import type { DiscoveryRequest, DiscoveryResponse, Protocol, Rejection } from './protocol.js';
import { isFullState } from './resource.js';
import { lengthDelimited, WireReader } from './wire.js';

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
  const reader = new WireReader(bytes);
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
