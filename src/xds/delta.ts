/**
 * Incremental xDS: envoy.service.discovery.v3.DeltaDiscoveryRequest and -Response.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds
 */
import { fromBinary } from '@bufbuild/protobuf';
import { StatusSchema } from '#gen/google/rpc/status_pb.js';
import type { NameList, NameTable } from './name-lists.js';
import type { DiscoveryRequest, DiscoveryResponse, Protocol, Rejection } from './protocol.js';
import { lengthDelimited, XdsWireReader } from './xds-wire.js';

const REQUEST = {
  node: 1,
  typeUrl: 2,
  subscribe: 3,
  unsubscribe: 4,
  initialVersions: 5,
  nonce: 6,
  error: 7,
} as const;
const RESPONSE = { version: 1, typeUrl: 4, nonce: 5, removed: 6 } as const;
const MAP_ENTRY = { key: 1, value: 2 } as const;

const MAX_MESSAGE_LENGTH = 4_096;

export const delta: Protocol = {
  name: 'delta',
  isFullState: () => false,
  tellsRemovals: () => true,
  decode,
  encode,
};

function decode(bytes: Buffer, table: NameTable, recent: Iterable<NameList>): DiscoveryRequest {
  let node: Buffer | undefined;
  let typeUrl = '';
  let nonce = '';
  let rejection: Rejection | undefined;
  const subscribe: NameList[] = [];
  const unsubscribe: NameList[] = [];
  const versions = new Map<string, string>();
  const reader = new XdsWireReader(bytes);
  while (reader.next()) {
    switch (reader.field) {
      case REQUEST.node:
        node = reader.content();
        break;
      case REQUEST.typeUrl:
        typeUrl = reader.text();
        break;
      case REQUEST.subscribe:
        subscribe.push(table.read(reader, recent));
        table.check(subscribe.length, 0);
        break;
      case REQUEST.unsubscribe:
        unsubscribe.push(table.read(reader, recent));
        table.check(unsubscribe.length, 0);
        break;
      case REQUEST.initialVersions:
        readMapEntry(reader.content(), versions);
        table.check(versions.size, 0);
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
    names: {
      kind: 'changes',
      subscribe: table.join(subscribe),
      unsubscribe: table.join(unsubscribe),
    },
    known: { kind: 'each', versions },
  };
}

function readMapEntry(bytes: Buffer, into: Map<string, string>): void {
  let key = '';
  let value = '';
  const reader = new XdsWireReader(bytes);
  while (reader.next()) {
    if (reader.field === MAP_ENTRY.key) key = reader.text();
    else if (reader.field === MAP_ENTRY.value) value = reader.text();
  }
  into.set(key, value);
}

/** A google.rpc.Status. Its message is kept for people: the beginning of it is enough. */
export function readRejection(bytes: Buffer): Rejection {
  const { code, message } = fromBinary(StatusSchema, bytes);
  return { code, message: message.slice(0, MAX_MESSAGE_LENGTH) };
}

function encode(response: DiscoveryResponse): Buffer {
  return Buffer.concat([
    lengthDelimited(RESPONSE.version, response.version),
    ...response.resources,
    lengthDelimited(RESPONSE.typeUrl, response.typeUrl),
    lengthDelimited(RESPONSE.nonce, response.nonce),
    ...response.removed.map((name) => lengthDelimited(RESPONSE.removed, name)),
  ]);
}
