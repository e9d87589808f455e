/** Which resources a client is shown. */
import { fromBinary, type JsonObject } from '@bufbuild/protobuf';
import { NodeSchema } from '#gen/envoy/config/core/v3/base_pb.js';
import type { PeerIdentity } from '../grpc/tls.js';

/** What a client says of itself (envoy.config.core.v3.Node); nobody has verified it. */
export interface NodeInfo {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: JsonObject;
}

export type ViewDecision =
  { readonly view: string } | { /** Why not, for the client's log. */ readonly refused: string };

/**
 * Decides what a client is shown. With mutual TLS `peer` is its verified certificate, and nothing but
 * it may decide which view, and so which secrets, the client gets. `peer` is undefined only on an
 * embedded server without TLS.
 */
export type ViewOf = (peer: PeerIdentity | undefined, node: NodeInfo) => ViewDecision;

/** @throws when the bytes are no Node. */
export function decodeNode(bytes: Buffer): NodeInfo {
  const { id, cluster, metadata } = fromBinary(NodeSchema, bytes);
  return { id, cluster, metadata: metadata ?? {} };
}
