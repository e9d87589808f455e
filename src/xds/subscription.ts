/**
 * What one client wants of one type on one stream.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
 */
import { isFullState, type TypeUrl } from './resource.js';

const WILDCARD = '*';

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
  readonly #legacyWildcard: boolean;
  #started = false;
  /** No request has named a resource so far: an empty list still means everything. */
  #nameless = true;
  #wildcard = false;
  #names: ReadonlySet<string> = new Set();
  /** The same set as `#names` in an incremental subscription. */
  #own: Set<string> | undefined;
  #requested: ReadonlySet<string> | undefined;

  constructor(typeUrl: TypeUrl) {
    // Only Listener and Cluster have a wildcard for a request without names; for the other types such
    // a request wants nothing.
    this.#legacyWildcard = isFullState(typeUrl);
  }

  get wildcard(): boolean {
    return this.#wildcard;
  }

  /** The names subscribed to one by one, without the wildcard. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  includes(name: string): boolean {
    return this.#wildcard || this.#names.has(name);
  }

  /**
   * A state-of-the-world request: its names are the whole subscription. The set is kept and must not
   * be changed afterwards.
   */
  replace(requested: ReadonlySet<string>): SubscriptionChange {
    // Acknowledgements repeat the whole list.
    if (requested === this.#requested) return UNCHANGED;
    this.#requested = requested;
    if (requested.size > 0) this.#nameless = false;
    const before = this.#names;
    const wasWildcard = this.#wildcard;
    this.#wildcard = requested.has(WILDCARD) || (this.#nameless && this.#legacyWildcard);
    this.#names = requested.has(WILDCARD) ? without(requested, WILDCARD) : requested;
    const added = [...this.#names].filter((name) => !before.has(name));
    return {
      wildcardAsked: this.#wildcard && !wasWildcard,
      wildcardEnded: wasWildcard && !this.#wildcard,
      added,
      removed: [...before].filter((name) => !this.#names.has(name)),
      // Newly requested resources are sent even if they were sent before without being asked for.
      asked: added,
    };
  }

  /** An incremental request: its names change the subscription. */
  modify(subscribe: readonly string[], unsubscribe: readonly string[]): SubscriptionChange {
    const first = !this.#started;
    this.#started = true;
    const nothing = subscribe.length === 0 && unsubscribe.length === 0;
    // Acknowledgements.
    if (nothing && !first) return UNCHANGED;
    const wasWildcard = this.#wildcard;
    if (nothing) this.#wildcard = this.#legacyWildcard;
    if (unsubscribe.includes(WILDCARD)) this.#wildcard = false;
    if (subscribe.includes(WILDCARD)) this.#wildcard = true;

    const names = this.#ownNames();
    const named = subscribe.filter((name) => name !== WILDCARD);
    const kept = new Set(named);
    const removed = unsubscribe.filter((name) => !kept.has(name) && names.delete(name));
    const added = named.filter((name) => !names.has(name));
    for (const name of added) names.add(name);
    return {
      wildcardAsked: this.#wildcard && (subscribe.includes(WILDCARD) || !wasWildcard),
      wildcardEnded: wasWildcard && !this.#wildcard,
      added,
      removed,
      // "The server must still provide those resources": a client may have forgotten what it names
      // again (#subscribing-to-resources). One that gives up a name and keeps the wildcard does not
      // know whether the resource stays (#unsubscribing-from-resources).
      asked: this.#wildcard ? [...named, ...removed] : named,
    };
  }

  /** A set that may be changed: one from a request is shared. */
  #ownNames(): Set<string> {
    this.#own ??= new Set(this.#names);
    this.#names = this.#own;
    return this.#own;
  }
}

function without(names: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const rest = new Set(names);
  rest.delete(name);
  return rest;
}

// Who is to hear of a change: an index from resource to subscribers, so that nobody else costs anything.

interface TypeSubscribers<S> {
  readonly wildcard: Set<S>;
  readonly byName: Map<string, Set<S>>;
}

export class SubscriberIndex<S> {
  readonly #views = new Map<string, Map<TypeUrl, TypeSubscribers<S>>>();

  add(view: string, typeUrl: TypeUrl, name: string, subscriber: S): void {
    const { byName } = this.#type(view, typeUrl);
    const subscribers = byName.get(name);
    if (subscribers) subscribers.add(subscriber);
    else byName.set(name, new Set([subscriber]));
  }

  remove(view: string, typeUrl: TypeUrl, name: string, subscriber: S): void {
    const byName = this.#views.get(view)?.get(typeUrl)?.byName;
    const subscribers = byName?.get(name);
    subscribers?.delete(subscriber);
    if (subscribers?.size === 0) byName?.delete(name);
  }

  addWildcard(view: string, typeUrl: TypeUrl, subscriber: S): void {
    this.#type(view, typeUrl).wildcard.add(subscriber);
  }

  removeWildcard(view: string, typeUrl: TypeUrl, subscriber: S): void {
    this.#views.get(view)?.get(typeUrl)?.wildcard.delete(subscriber);
  }

  /** Calls `visit` once for each subscriber of a resource, by name or by wildcard. */
  visit(view: string, typeUrl: TypeUrl, name: string, visit: (subscriber: S) => void): void {
    const subscribers = this.#views.get(view)?.get(typeUrl);
    if (!subscribers) return;
    for (const subscriber of subscribers.wildcard) visit(subscriber);
    for (const subscriber of subscribers.byName.get(name) ?? []) {
      if (!subscribers.wildcard.has(subscriber)) visit(subscriber);
    }
  }

  /** The views that anybody has subscribed in. */
  views(): Iterable<string> {
    return this.#views.keys();
  }

  #type(view: string, typeUrl: TypeUrl): TypeSubscribers<S> {
    let types = this.#views.get(view);
    if (!types) {
      types = new Map();
      this.#views.set(view, types);
    }
    let subscribers = types.get(typeUrl);
    if (!subscribers) {
      subscribers = { wildcard: new Set(), byName: new Map() };
      types.set(typeUrl, subscribers);
    }
    return subscribers;
  }
}
