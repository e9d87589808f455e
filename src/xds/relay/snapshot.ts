/** A complete configuration of an Envoy, and its form on disk. */
import { createHash } from 'node:crypto';
import { lengthDelimited, WireReader } from '../wire.js';
import { type KeptResource, readResponse } from './messages.js';

/** By type and name: everything that an Envoy subscribed to and acknowledged. */
export type Snapshot = ReadonlyMap<string, ReadonlyMap<string, KeptResource>>;

/** Names the format; another one is not read. */
const MAGIC = Buffer.from('spark-gateway envoy configuration 1\n');
const DIGEST_BYTES = 32;

// The body is a message whose field 1 holds a DeltaDiscoveryResponse for each type.
const RESPONSES = 1;
const RESPONSE_TYPE_URL = 4;

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  const responses = [...snapshot].map(([typeUrl, resources]) =>
    lengthDelimited(
      RESPONSES,
      Buffer.concat([
        lengthDelimited(RESPONSE_TYPE_URL, typeUrl),
        ...[...resources.values()].map(({ field }) => field),
      ]),
    ),
  );
  const body = Buffer.concat(responses);
  return Buffer.concat([MAGIC, digest(body), body]);
}

/** @throws RangeError when the bytes were not written by `encodeSnapshot`, or are damaged. */
export function decodeSnapshot(bytes: Buffer): Snapshot {
  const body = bytes.subarray(MAGIC.length + DIGEST_BYTES);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new RangeError('it is of another format');
  }
  if (!bytes.subarray(MAGIC.length, MAGIC.length + DIGEST_BYTES).equals(digest(body))) {
    throw new RangeError('it is damaged');
  }
  const snapshot = new Map<string, ReadonlyMap<string, KeptResource>>();
  const reader = new WireReader(body);
  while (reader.next()) {
    const { typeUrl, resources } = readResponse(reader.content());
    snapshot.set(typeUrl, new Map(resources.map((resource) => [resource.name, resource])));
  }
  return snapshot;
}

function digest(body: Buffer): Buffer {
  return createHash('sha256').update(body).digest();
}
