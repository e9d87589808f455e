/** What state-of-the-world and incremental xDS have in common, and where they differ. */
import type { NameList, NameTable } from './name-lists.js';
import type { TypeUrl } from './resource.js';

/** A request of either protocol. */
export interface DiscoveryRequest {
  /** An envoy.config.core.v3.Node, undecoded; only the first request of a stream must have it. */
  readonly node: Buffer | undefined;
  /** May be empty on a stream for a single type. */
  readonly typeUrl: string;
  /** Nonce of the response that this request answers; may be empty. */
  readonly nonce: string;
  /** Set when the client rejected that response. */
  readonly rejection: Rejection | undefined;
  readonly names: RequestedNames;
  /** What the client has from an earlier stream; only looked at in a type's first request. */
  readonly known: KnownState;
}

export interface Rejection {
  /** A google.rpc.Code. */
  readonly code: number;
  readonly message: string;
}

export type RequestedNames =
  /** State-of-the-world: all names that are wanted. */
  | { readonly kind: 'all'; readonly list: NameList }
  | { readonly kind: 'changes'; readonly subscribe: NameList; readonly unsubscribe: NameList };

export type KnownState =
  /** State-of-the-world: the version of all that was subscribed to; empty for none. */
  | { readonly kind: 'whole'; readonly version: string }
  /** Incremental: the version of each resource, by name. */
  | { readonly kind: 'each'; readonly versions: ReadonlyMap<string, string> };

/** A response of either protocol, ready to be put together. */
export interface DiscoveryResponse {
  readonly typeUrl: TypeUrl;
  readonly version: string;
  readonly nonce: string;
  /** Encoded `resources` fields of this protocol. */
  readonly resources: readonly Buffer[];
  /** Names; state-of-the-world has no way to say them. */
  readonly removed: readonly string[];
}

export interface Protocol {
  readonly name: 'sotw' | 'delta';
  /** Whether a response of this type holds all that is subscribed to, or only what changed. */
  isFullState(typeUrl: TypeUrl): boolean;
  /** Whether the client can be told of a removal. */
  tellsRemovals(typeUrl: TypeUrl): boolean;
  /**
   * @param recent lists of names that the client has sent, and that are held.
   * @throws RangeError when the bytes are no such message, GatewayError XDS_TOO_MANY_NAMES.
   */
  decode(bytes: Buffer, table: NameTable, recent: Iterable<NameList>): DiscoveryRequest;
  encode(response: DiscoveryResponse): Buffer;
}
