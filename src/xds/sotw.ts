/**
 * State-of-the-world xDS: envoy.service.discovery.v3.DiscoveryRequest and -Response.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#basic-protocol-overview
 */
import { readRejection } from './delta.js';
import type { NameList, NameTable } from './name-lists.js';
import type { DiscoveryRequest, DiscoveryResponse, Protocol, Rejection } from './protocol.js';
import { isFullState } from './resource.js';
import { lengthDelimited, XdsWireReader } from './xds-wire.js';

const REQUEST = { version: 1, node: 2, names: 3, typeUrl: 4, nonce: 5, error: 6 } as const;
const RESPONSE = { version: 1, typeUrl: 4, nonce: 5 } as const;

export const sotw: Protocol = {
  name: 'sotw',
  isFullState,
  // For the other types a removal shows in the parent resource no longer naming the child.
  tellsRemovals: isFullState,
  decode,
  encode,
};

function decode(bytes: Buffer, table: NameTable, recent: Iterable<NameList>): DiscoveryRequest {
  let version = '';
  let node: Buffer | undefined;
  const lists: NameList[] = [];
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
      case REQUEST.names:
        lists.push(table.read(reader, recent));
        table.check(lists.length, 0);
        break;
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
    names: { kind: 'all', list: table.join(lists) },
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
