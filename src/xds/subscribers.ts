/** Who is to hear of a change: an index from resource to subscribers, so that nobody else costs anything. */
import type { TypeUrl } from './resource.js';

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
