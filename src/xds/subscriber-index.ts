/**
 * Who is to hear of a change: an index from resource to subscribers, so that nobody else costs
 * anything. Subscribers of the same names share one entry, whatever their number.
 */
import {
  nameBytes,
  type NameList,
  nameList,
  type NameSet,
  NameTable,
  NO_LIST,
} from './name-lists.js';
import type { TypeUrl } from './resource.js';

interface TypeSubscribers<S> {
  readonly wildcard: Set<S>;
  /** By the set that they have in common. */
  readonly bySet: Map<NameSet, Set<S>>;
  /** Who names this beside its set. */
  readonly added: Map<string, Set<S>>;
  /** Who does not want this, though it is in its set. */
  readonly dropped: Map<string, Set<S>>;
}

export class SubscriberIndex<S> {
  /** Of the names of all subscribers. */
  readonly table: NameTable;
  readonly #views = new Map<string, Map<TypeUrl, TypeSubscribers<S>>>();

  constructor(table = new NameTable()) {
    this.table = table;
  }

  /** The names of a new subscriber: none at first. To be cleared when it goes. */
  subscriber(view: string, typeUrl: TypeUrl, subscriber: S): SubscribedNames {
    return new SubscribedNames(this.table, new Entry(this.#type(view, typeUrl), subscriber));
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
    const { wildcard, bySet, added } = subscribers;
    for (const subscriber of wildcard) visit(subscriber);
    const without = subscribers.dropped.get(name);
    for (const [{ names }, sharing] of bySet) {
      if (!names.has(name)) continue;
      for (const subscriber of sharing) {
        if (!wildcard.has(subscriber) && !without?.has(subscriber)) visit(subscriber);
      }
    }
    for (const subscriber of added.get(name) ?? []) {
      if (!wildcard.has(subscriber)) visit(subscriber);
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
      subscribers = {
        wildcard: new Set(),
        bySet: new Map(),
        added: new Map(),
        dropped: new Map(),
      };
      types.set(typeUrl, subscribers);
    }
    return subscribers;
  }
}

/** One subscriber's part of the index. */
class Entry<S> {
  readonly #of: TypeSubscribers<S>;
  readonly #subscriber: S;

  constructor(of: TypeSubscribers<S>, subscriber: S) {
    this.#of = of;
    this.#subscriber = subscriber;
  }

  move(from: NameSet, to: NameSet): void {
    if (from === to) return;
    if (from.names.size > 0) leave(this.#of.bySet, from, this.#subscriber);
    if (to.names.size > 0) enter(this.#of.bySet, to, this.#subscriber);
  }

  set(kind: 'added' | 'dropped', name: string, holds: boolean): void {
    if (holds) enter(this.#of[kind], name, this.#subscriber);
    else leave(this.#of[kind], name, this.#subscriber);
  }
}

function enter<K, S>(index: Map<K, Set<S>>, key: K, subscriber: S): void {
  const subscribers = index.get(key);
  if (subscribers) subscribers.add(subscriber);
  else index.set(key, new Set([subscriber]));
}

function leave<K, S>(index: Map<K, Set<S>>, key: K, subscriber: S): void {
  const subscribers = index.get(key);
  subscribers?.delete(subscriber);
  if (subscribers?.size === 0) index.delete(key);
}

/** How far a subscriber's names may be from its set before they become one of their own. */
const MAX_DIFFERENCES = 64;
const MAX_DIFFERING_SHARE = 1 / 8;
const NONE: ReadonlySet<string> = new Set();

/**
 * The names of one subscriber: a set that it shares with all who have sent the same, and its
 * differences from it. With `index` they are found by name.
 */
export class SubscribedNames {
  readonly #table: NameTable;
  readonly #entry: Pick<Entry<unknown>, 'move' | 'set'> | undefined;
  #list = NO_LIST;
  #added: Set<string> | undefined;
  #dropped: Set<string> | undefined;
  /** Of `#added`. */
  #addedBytes = 0;

  constructor(table: NameTable = new NameTable(), entry?: Pick<Entry<unknown>, 'move' | 'set'>) {
    this.#table = table;
    this.#entry = entry;
  }

  /** What was sent last, as it is held. */
  get list(): NameList {
    return this.#list;
  }

  get size(): number {
    return this.#list.set.names.size + (this.#added?.size ?? 0) - (this.#dropped?.size ?? 0);
  }

  get #differences(): number {
    return (this.#added?.size ?? 0) + (this.#dropped?.size ?? 0);
  }

  has(name: string): boolean {
    return this.#list.set.names.has(name) ? !this.#dropped?.has(name) : !!this.#added?.has(name);
  }

  *[Symbol.iterator](): Iterator<string> {
    const dropped = this.#dropped ?? NONE;
    for (const name of this.#list.set.names) if (!dropped.has(name)) yield name;
    yield* this.#added ?? NONE;
  }

  /**
   * They are what the list says, and no others.
   * @throws GatewayError XDS_TOO_MANY_NAMES
   */
  replace(list: NameList): { added: readonly string[]; removed: readonly string[] } {
    const before = this.#differences === 0 ? this.#list.set.names : new Set(this);
    const held = this.#use(list);
    const { names } = held.set;
    if (names === before) return { added: [], removed: [] };
    return {
      added: [...names].filter((name) => !before.has(name)),
      removed: [...before].filter((name) => !names.has(name)),
    };
  }

  /**
   * Returns those that are new.
   * @throws GatewayError XDS_TOO_MANY_NAMES
   */
  add(list: NameList): readonly string[] {
    const { names } = list.set;
    if (this.size === 0) {
      if (names.size > 0) this.#use(list);
      return [...names];
    }
    const added: string[] = [];
    for (const name of names) {
      if (this.has(name)) continue;
      added.push(name);
      if (this.#list.set.names.has(name)) this.#drop(name, false);
      else this.#put(name, true);
    }
    this.#table.check(this.size, this.#list.set.bytes + this.#addedBytes);
    this.#settle();
    return added;
  }

  /** Returns those that were there. */
  delete(names: Iterable<string>): readonly string[] {
    const removed: string[] = [];
    for (const name of names) {
      if (!this.has(name)) continue;
      removed.push(name);
      if (this.#list.set.names.has(name)) this.#drop(name, true);
      else this.#put(name, false);
    }
    this.#settle();
    return removed;
  }

  clear(): void {
    this.#use(NO_LIST);
  }

  /** Has the names of the list, and no differences from it. */
  #use(list: NameList): NameList {
    const held = this.#table.hold(list);
    for (const name of this.#added ?? NONE) this.#put(name, false);
    for (const name of this.#dropped ?? NONE) this.#drop(name, false);
    this.#added = undefined;
    this.#dropped = undefined;
    this.#entry?.move(this.#list.set, held.set);
    this.#table.release(this.#list);
    this.#list = held;
    return held;
  }

  /** Names that have moved far from the set become one, which others may have, too. */
  #settle(): void {
    const size = this.#list.set.names.size;
    if (this.#differences <= MAX_DIFFERENCES + size * MAX_DIFFERING_SHARE) return;
    this.#use(this.size === 0 ? NO_LIST : nameList(new Set(this)));
  }

  #put(name: string, holds: boolean): void {
    const bytes = holds ? nameBytes(name) : -nameBytes(name);
    this.#table.reserve(bytes);
    this.#addedBytes += bytes;
    this.#added ??= new Set();
    if (holds) this.#added.add(name);
    else this.#added.delete(name);
    this.#entry?.set('added', name, holds);
  }

  #drop(name: string, holds: boolean): void {
    this.#dropped ??= new Set();
    if (holds) this.#dropped.add(name);
    else this.#dropped.delete(name);
    this.#entry?.set('dropped', name, holds);
  }
}
