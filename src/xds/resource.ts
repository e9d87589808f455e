/** xDS resources as ready bytes: serialised once when they change, never per stream. */
import { createHash } from 'node:crypto';
import {
  type DescMessage,
  isMessage,
  type MessageShape,
  toBinary,
  fromBinary,
  type JsonObject,
} from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '#gen/envoy/config/core/v3/base_pb.js';
import type { PeerIdentity } from '../lib/grpc/tls.js';
import { fieldHead } from '../lib/protobuf/wire.js';
import { lengthDelimited } from './xds-wire.js';

export const TypeUrl = {
  CLUSTER: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  ENDPOINTS: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  SECRET: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  EXTENSION_CONFIG: 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
  LISTENER: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  ROUTE: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
} as const;
export type TypeUrl = (typeof TypeUrl)[keyof typeof TypeUrl];

/**
 * "Make before break": what is referred to is sent before what refers to it, so that no request ever
 * meets a route to a cluster that Envoy has not heard of. Secrets and filter settings are used by
 * listeners, so they come before them. Removals follow after everything else, in the reverse order.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations
 */
export const PUSH_ORDER: readonly TypeUrl[] = [
  TypeUrl.CLUSTER,
  TypeUrl.ENDPOINTS,
  TypeUrl.SECRET,
  TypeUrl.EXTENSION_CONFIG,
  TypeUrl.LISTENER,
  TypeUrl.ROUTE,
];

/** Place of a type in PUSH_ORDER; -1 for a type that is not served. */
function pushOrder(typeUrl: string): number {
  return PUSH_ORDER.findIndex((known) => known === typeUrl);
}

export function isTypeUrl(text: string): text is TypeUrl {
  return pushOrder(text) >= 0;
}

/**
 * In state-of-the-world, a Listener or Cluster response holds everything subscribed to, and what it
 * leaves out is deleted; for the other types it may hold only what changed.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#grouping-resources-into-responses
 */
export function isFullState(typeUrl: TypeUrl): boolean {
  return typeUrl === TypeUrl.CLUSTER || typeUrl === TypeUrl.LISTENER;
}

export interface ResourceName {
  readonly typeUrl: TypeUrl;
  readonly name: string;
}

/** A resource in the form in which it is stored and sent. Immutable. */
export interface EncodedResource extends ResourceName {
  /** Hash of name and content, 16 hex digits: the same after a restart and on every control plane. */
  readonly version: string;
  /** 64 more bits of the same hash, as two unsigned 32-bit numbers; `StateVersion` sums them. */
  readonly fingerprint: readonly [number, number];
  /** The field `resources` of a DeltaDiscoveryResponse, tag and length included. */
  readonly deltaField: Buffer;
  /** The field `resources` of a DiscoveryResponse (an Any); a part of `deltaField`. */
  readonly sotwField: Buffer;
  /**
   * What Envoy waits to be sent again after it was sent this: an updated cluster stays warming until
   * its endpoints come, even if they did not change.
   * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#resource-warming
   */
  readonly warmedBy: ResourceName | undefined;
}

// Field numbers of envoy/service/discovery/v3/discovery.proto and google/protobuf/any.proto.
const RESPONSE_RESOURCES = 2;
const RESOURCE_VERSION = 1;
const RESOURCE_BODY = 2;
const RESOURCE_NAME = 3;
const ANY_TYPE_URL = 1;
const ANY_VALUE = 2;

/**
 * Serialises a resource. Equal content must be built in the same order (repeated fields, maps), as
 * its hash decides whether it is pushed.
 */
export function encodeResource<Desc extends DescMessage>(
  schema: Desc,
  name: string,
  message: MessageShape<Desc>,
): EncodedResource {
  const typeUrl = `type.googleapis.com/${schema.typeName}`;
  if (!isTypeUrl(typeUrl)) throw new TypeError(`${schema.typeName} is not served over xDS`);
  const any = Buffer.concat([
    lengthDelimited(ANY_TYPE_URL, typeUrl),
    lengthDelimited(ANY_VALUE, toBinary(schema, message)),
  ]);
  const digest = createHash('sha256').update(name).update('\0').update(any).digest();
  const version = digest.toString('hex', 0, 8);
  // Both messages have the Any at field 2, so that the state-of-the-world form is the tail of the delta one.
  const sotwHead = fieldHead(RESPONSE_RESOURCES, any.length);
  const resourceHead = Buffer.concat([
    lengthDelimited(RESOURCE_NAME, name),
    lengthDelimited(RESOURCE_VERSION, version),
    fieldHead(RESOURCE_BODY, any.length),
  ]);
  const deltaField = Buffer.concat([
    fieldHead(RESPONSE_RESOURCES, resourceHead.length + any.length),
    resourceHead,
    any,
  ]);
  return {
    typeUrl,
    name,
    version,
    fingerprint: [digest.readUInt32LE(8), digest.readUInt32LE(12)],
    deltaField,
    sotwField: deltaField.subarray(deltaField.length - any.length - sotwHead.length),
    warmedBy: isMessage(message, ClusterSchema) ? endpointsOf(message) : undefined,
  };
}

function endpointsOf(cluster: Cluster): ResourceName | undefined {
  const discovery = cluster.clusterDiscoveryType;
  if (discovery.case !== 'type' || discovery.value !== Cluster_DiscoveryType.EDS) return undefined;
  return {
    typeUrl: TypeUrl.ENDPOINTS,
    name: cluster.edsClusterConfig?.serviceName || cluster.name,
  };
}

/**
 * The version of a set of resources: the sum of their hashes, so that it depends on nothing but the
 * set and follows a change in constant time.
 */
export class StateVersion {
  #high = 0;
  #low = 0;
  #text: string | undefined;

  add(resource: EncodedResource): void {
    this.#text = undefined;
    this.#high = (this.#high + resource.fingerprint[0]) >>> 0;
    this.#low = (this.#low + resource.fingerprint[1]) >>> 0;
  }

  remove(resource: EncodedResource): void {
    this.#text = undefined;
    this.#high = (this.#high - resource.fingerprint[0]) >>> 0;
    this.#low = (this.#low - resource.fingerprint[1]) >>> 0;
  }

  /** 16 hex digits. */
  toString(): string {
    this.#text ??= hex(this.#high) + hex(this.#low);
    return this.#text;
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}

// Which resources a client is shown.

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
