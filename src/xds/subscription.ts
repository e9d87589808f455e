/**
 * What one client wants of one type on one stream.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
 */
import { type NameList, NO_LIST } from './name-lists.js';
import { isFullState, type TypeUrl } from './resource.js';
import type { SubscribedNames } from './subscriber-index.js';

/** What a request changed, and which answers it asks for. */
export interface SubscriptionChange {
  /** The request asked for everything, whether or not it was subscribed to before. */
  readonly wildcardAsked: boolean;
  readonly wildcardEnded: boolean;
  /** Names that are now subscribed to one by one and were not before. */
  readonly added: readonly string[];
  /** Names that no longer are; the wildcard may still cover them. */
  readonly removed: readonly string[];
  /** Names that must be answered, even when they were subscribed to and sent before. */
  readonly asked: readonly string[];
}

const UNCHANGED: SubscriptionChange = {
  wildcardAsked: false,
  wildcardEnded: false,
  added: [],
  removed: [],
  asked: [],
};

export class Subscription {
  /** Those subscribed to one by one, without the wildcard. */
  readonly names: SubscribedNames;
  readonly #legacyWildcard: boolean;
  #started = false;
  /** No request has named a resource so far: an empty list still means everything. */
  #nameless = true;
  #wildcard = false;
  /** The newest one of a state-of-the-world client. */
  #requested: NameList | undefined;

  constructor(typeUrl: TypeUrl, names: SubscribedNames) {
    this.names = names;
    // Only Listener and Cluster have a wildcard for a request without names; for the other types such
    // a request wants nothing.
    this.#legacyWildcard = isFullState(typeUrl);
  }

  get wildcard(): boolean {
    return this.#wildcard;
  }

  includes(name: string): boolean {
    return this.#wildcard || this.names.has(name);
  }

  /**
   * A state-of-the-world request: its names are the whole subscription.
   * @throws GatewayError XDS_TOO_MANY_NAMES
   */
  replace(requested: NameList): SubscriptionChange {
    // Acknowledgements repeat the whole list.
    if (requested === this.#requested) return UNCHANGED;
    const wasWildcard = this.#wildcard;
    const { added, removed } = this.names.replace(requested);
    this.#requested = this.names.list;
    if (requested !== NO_LIST) this.#nameless = false;
    this.#wildcard = requested.wildcard || (this.#nameless && this.#legacyWildcard);
    return {
      wildcardAsked: this.#wildcard && !wasWildcard,
      wildcardEnded: wasWildcard && !this.#wildcard,
      added,
      removed,
      // Newly requested resources are sent even if they were sent before without being asked for.
      asked: added,
    };
  }

  /**
   * An incremental request: its names change the subscription.
   * @throws GatewayError XDS_TOO_MANY_NAMES
   */
  modify(subscribe: NameList, unsubscribe: NameList): SubscriptionChange {
    const first = !this.#started;
    this.#started = true;
    const nothing = subscribe === NO_LIST && unsubscribe === NO_LIST;
    // Acknowledgements.
    if (nothing && !first) return UNCHANGED;
    const wasWildcard = this.#wildcard;
    if (nothing) this.#wildcard = this.#legacyWildcard;
    if (unsubscribe.wildcard) this.#wildcard = false;
    if (subscribe.wildcard) this.#wildcard = true;

    const kept = subscribe.set.names;
    const removed = this.names.delete([...unsubscribe.set.names].filter((name) => !kept.has(name)));
    const added = this.names.add(subscribe);
    const named = added.length === kept.size ? added : [...kept];
    return {
      wildcardAsked: this.#wildcard && (subscribe.wildcard || !wasWildcard),
      wildcardEnded: wasWildcard && !this.#wildcard,
      added,
      removed,
      // "The server must still provide those resources": a client may have forgotten what it names
      // again (#subscribing-to-resources). One that gives up a name and keeps the wildcard does not
      // know whether the resource stays (#unsubscribing-from-resources).
      asked: this.#wildcard ? [...named, ...removed] : named,
    };
  }
}
