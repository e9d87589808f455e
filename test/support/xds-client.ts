/**
 * An xDS client for tests, over whatever carries bytes. It keeps resources as the protocols say a
 * client does, and answers each response when it is told to.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '#gen/envoy/config/core/v3/base_pb.js';
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import { isFullState, isTypeUrl, TypeUrl } from '../../src/xds/resource.js';

export type ProtocolName = 'sotw' | 'delta';

export interface ReceivedResource {
  readonly name: string;
  /** Of the resource (delta) or of the response (state-of-the-world). */
  readonly version: string;
  /** The serialised resource. */
  readonly value: Uint8Array;
}

export interface ReceivedResponse {
  readonly typeUrl: TypeUrl;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly ReceivedResource[];
  readonly removed: readonly string[];
}

interface TypeMemory {
  readonly resources: Map<string, ReceivedResource>;
  wanted: Set<string>;
  /** Last version taken, as a state-of-the-world client repeats it. */
  version: string;
  /** Last nonce received on this stream. */
  nonce: string;
  /** Whether a request went out on this stream. */
  asked: boolean;
}

export class XdsClient {
  readonly protocol: ProtocolName;
  readonly #nodeId: string;
  readonly #types = new Map<TypeUrl, TypeMemory>();
  #send: (bytes: Buffer) => void = () => undefined;
  #named = false;

  constructor(protocol: ProtocolName, nodeId = 'envoy-1') {
    this.protocol = protocol;
    this.#nodeId = nodeId;
  }

  /** Starts a new stream and asks again for all that was wanted, telling what is known. */
  connect(send: (bytes: Buffer) => void): void {
    this.#send = send;
    this.#named = false;
    for (const memory of this.#types.values()) {
      memory.nonce = '';
      memory.asked = false;
    }
    for (const [typeUrl, memory] of this.#types) {
      if (memory.wanted.size > 0) this.subscribe(typeUrl, []);
    }
  }

  /** What the client has of a type, by name. */
  resources(typeUrl: TypeUrl): ReadonlyMap<string, ReceivedResource> {
    return this.#memory(typeUrl).resources;
  }

  wanted(typeUrl: TypeUrl): ReadonlySet<string> {
    return this.#memory(typeUrl).wanted;
  }

  /** Adds names; `*` is the wildcard. */
  subscribe(typeUrl: TypeUrl, names: readonly string[]): void {
    const memory = this.#memory(typeUrl);
    for (const name of names) memory.wanted.add(name);
    this.#request(typeUrl, memory, { subscribe: names, unsubscribe: [] });
  }

  unsubscribe(typeUrl: TypeUrl, names: readonly string[]): void {
    const memory = this.#memory(typeUrl);
    const dropped = names.filter((name) => memory.wanted.delete(name));
    // A name that the wildcard covers stays until the server has said whether it is part of it.
    if (!memory.wanted.has('*')) {
      for (const name of memory.resources.keys()) {
        if (!memory.wanted.has(name)) memory.resources.delete(name);
      }
    }
    if (dropped.length > 0) {
      this.#request(typeUrl, memory, { subscribe: [], unsubscribe: dropped });
    }
  }

  decode(bytes: Uint8Array): ReceivedResponse {
    return decodeResponse(this.protocol, bytes);
  }

  /** Takes a response and answers it: with an error, keeping the resources it names out, if there is one. */
  take(
    response: ReceivedResponse,
    error?: string,
    rejected: ReadonlySet<string> = new Set(),
  ): void {
    const memory = this.#memory(response.typeUrl);
    memory.nonce = response.nonce;
    const wanted = (name: string) => memory.wanted.has('*') || memory.wanted.has(name);
    const fullState = this.protocol === 'sotw' && isFullState(response.typeUrl);
    if (fullState) {
      const present = new Set(response.resources.map(({ name }) => name));
      for (const name of memory.resources.keys()) {
        if (!present.has(name)) memory.resources.delete(name);
      }
    }
    for (const resource of response.resources) {
      if (wanted(resource.name) && !rejected.has(resource.name)) {
        memory.resources.set(resource.name, resource);
      }
    }
    for (const name of response.removed) memory.resources.delete(name);
    if (error === undefined) memory.version = response.version;
    this.#request(response.typeUrl, memory, { subscribe: [], unsubscribe: [], error });
  }

  /** Sends a message as it stands. */
  sendRaw(bytes: Uint8Array): void {
    this.#send(Buffer.from(bytes));
  }

  #memory(typeUrl: TypeUrl): TypeMemory {
    let memory = this.#types.get(typeUrl);
    if (!memory) {
      memory = { resources: new Map(), wanted: new Set(), version: '', nonce: '', asked: false };
      this.#types.set(typeUrl, memory);
    }
    return memory;
  }

  #request(
    typeUrl: TypeUrl,
    memory: TypeMemory,
    content: {
      subscribe: readonly string[];
      unsubscribe: readonly string[];
      error?: string | undefined;
    },
  ): void {
    const node = this.#named
      ? {}
      : { node: create(NodeSchema, { id: this.#nodeId, cluster: 'test' }) };
    const errorDetail =
      content.error === undefined ? {} : { errorDetail: { code: 3, message: content.error } };
    this.#named = true;
    const first = !memory.asked;
    memory.asked = true;
    if (this.protocol === 'sotw') {
      const message = create(DiscoveryRequestSchema, {
        ...node,
        ...errorDetail,
        typeUrl,
        resourceNames: [...memory.wanted],
        versionInfo: memory.version,
        responseNonce: memory.nonce,
      });
      this.#send(Buffer.from(toBinary(DiscoveryRequestSchema, message)));
      return;
    }
    const answers = content.subscribe.length === 0 && content.unsubscribe.length === 0 && !first;
    const known = [...memory.resources].map(([name, { version }]) => [name, version]);
    const message = create(DeltaDiscoveryRequestSchema, {
      ...node,
      ...errorDetail,
      typeUrl,
      resourceNamesSubscribe: first ? [...memory.wanted] : [...content.subscribe],
      resourceNamesUnsubscribe: first ? [] : [...content.unsubscribe],
      initialResourceVersions: first ? Object.fromEntries(known) : {},
      responseNonce: answers ? memory.nonce : '',
    });
    this.#send(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)));
  }
}

function decodeResponse(protocol: ProtocolName, bytes: Uint8Array): ReceivedResponse {
  if (protocol === 'sotw') {
    const message = fromBinary(DiscoveryResponseSchema, bytes);
    return {
      typeUrl: checkedTypeUrl(message.typeUrl),
      version: message.versionInfo,
      nonce: message.nonce,
      resources: message.resources.map((any) => ({
        name: resourceName(any),
        version: message.versionInfo,
        value: any.value,
      })),
      removed: [],
    };
  }
  const message = fromBinary(DeltaDiscoveryResponseSchema, bytes);
  return {
    typeUrl: checkedTypeUrl(message.typeUrl),
    version: message.systemVersionInfo,
    nonce: message.nonce,
    resources: message.resources.map(({ name, version, resource }) => ({
      name,
      version,
      value: resource?.value ?? new Uint8Array(),
    })),
    removed: message.removedResources,
  };
}

function checkedTypeUrl(text: string): TypeUrl {
  if (!isTypeUrl(text)) throw new Error(`unexpected type ${text}`);
  return text;
}

function resourceName({ typeUrl, value }: Any): string {
  switch (typeUrl) {
    case TypeUrl.CLUSTER:
      return fromBinary(ClusterSchema, value).name;
    case TypeUrl.ENDPOINTS:
      return fromBinary(ClusterLoadAssignmentSchema, value).clusterName;
    case TypeUrl.LISTENER:
      return fromBinary(ListenerSchema, value).name;
    case TypeUrl.ROUTE:
      return fromBinary(RouteConfigurationSchema, value).name;
    case TypeUrl.SECRET:
      return fromBinary(SecretSchema, value).name;
    default:
      throw new Error(`unexpected type ${typeUrl}`);
  }
}
