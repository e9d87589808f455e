/**
 * What the relay reads of incremental xDS beside requests (`../delta.ts`), and the one thing that it
 * changes. https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto
 */
import { fieldHead, WireReader } from '../wire.js';

const REQUEST_INITIAL_VERSIONS = 5;
const MAP_KEY = 1;
const RESPONSE = { resources: 2, typeUrl: 4, nonce: 5, removed: 6 } as const;
const RESOURCE = { version: 1, name: 3 } as const;

/** A resource as Envoy acknowledged it. */
export interface KeptResource {
  readonly name: string;
  readonly version: string;
  /** The field `resources` of a DeltaDiscoveryResponse, tag and length included. */
  readonly field: Buffer;
}

export interface DeltaResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly KeptResource[];
  readonly removed: readonly string[];
}

/** @throws RangeError when the bytes are no DeltaDiscoveryResponse. */
export function readResponse(bytes: Buffer): DeltaResponse {
  let typeUrl = '';
  let nonce = '';
  const resources: KeptResource[] = [];
  const removed: string[] = [];
  const reader = new WireReader(bytes);
  while (reader.next()) {
    switch (reader.field) {
      case RESPONSE.typeUrl:
        typeUrl = reader.text();
        break;
      case RESPONSE.nonce:
        nonce = reader.text();
        break;
      case RESPONSE.removed:
        removed.push(reader.text());
        break;
      case RESPONSE.resources:
        resources.push(readResource(reader.content()));
        break;
    }
  }
  return { typeUrl, nonce, resources, removed };
}

function readResource(content: Buffer): KeptResource {
  let name = '';
  let version = '';
  const reader = new WireReader(content);
  while (reader.next()) {
    if (reader.field === RESOURCE.name) name = reader.text();
    else if (reader.field === RESOURCE.version) version = reader.text();
  }
  // A copy: a slice would keep the whole response in memory.
  const field = Buffer.concat([fieldHead(RESPONSE.resources, content.length), content]);
  return { name, version, field };
}

/** The same DeltaDiscoveryRequest, in which the client does not claim to have these resources. */
export function withoutInitialVersions(bytes: Buffer, names: ReadonlySet<string>): Buffer {
  if (names.size === 0) return bytes;
  const parts: Buffer[] = [];
  const reader = new WireReader(bytes);
  while (reader.next()) {
    if (reader.field === REQUEST_INITIAL_VERSIONS && names.has(mapKey(reader.content()))) continue;
    parts.push(bytes.subarray(reader.tagStart, reader.end));
  }
  return Buffer.concat(parts);
}

function mapKey(entry: Buffer): string {
  const reader = new WireReader(entry);
  let key = '';
  while (reader.next()) if (reader.field === MAP_KEY) key = reader.text();
  return key;
}
