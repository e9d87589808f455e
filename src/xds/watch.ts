/**
 * One type on one stream: what the client wants, what it has acknowledged, and what it still has to
 * be sent. While a response waits for its acknowledgement only names gather here, so that a slow
 * client gets the newest state and never a backlog.
 */
import type { SyncState } from '../model/reports.js';
import type { ResourceCache, ResourceChange } from './resource-cache.js';
import type { DiscoveryRequest, KnownState, Protocol, Rejection } from './protocol.js';
import { Rejections } from './rejections.js';
import type { EncodedResource, TypeUrl } from './resource.js';
import type { SubscribedNames } from './subscriber-index.js';
import { Subscription, type SubscriptionChange } from './subscription.js';

/** What the client has of a resource: an EncodedResource, or as much as is known of it. */
type Held = Pick<EncodedResource, 'version'> & Partial<Pick<EncodedResource, 'sotwField'>>;

/** The client has no resource of the name. */
const NOTHING: Held = { version: '' };
/** The client must be told, whatever it has. */
const UNSURE: Held = { version: '?' };

/** A name of which the client is not known to have the newest state. */
interface Pending {
  readonly held: Held;
  /**
   * The revision of the first change that the client has not acknowledged; 0 for a client that was
   * never told, infinite for one that only has to be told again.
   */
  readonly since: number;
}

/** A client that was never told of it: one value for thousands of names. */
const NEVER_TOLD: Pending = { held: UNSURE, since: 0 };
const NEVER_HELD: Pending = { held: NOTHING, since: 0 };

/** What one response is to hold. */
export interface Push {
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
  /** Resources that are gone but that a response of the full state is to keep for now. */
  readonly kept: readonly Buffer[];
  readonly version: string;
}

export type Part = 'upserts' | 'removals' | 'all';

interface Outstanding {
  readonly nonce: string;
  readonly version: string;
  readonly sentAtMs: number;
  readonly names: ReadonlyMap<string, Pending>;
}

export type Answer =
  | { readonly kind: 'ack'; readonly afterMs: number }
  | { readonly kind: 'nack'; readonly rejection: Rejection; readonly afterMs: number }
  /** Asks for something, answers nothing. */
  | { readonly kind: 'none' }
  /** Was sent before the client saw the newest response. */
  | { readonly kind: 'stale' };

export class Watch {
  readonly typeUrl: TypeUrl;
  readonly subscription: Subscription;
  readonly #protocol: Protocol;
  readonly #cache: ResourceCache;
  readonly #view: string;
  #pending = new Map<string, Pending>();
  #outstanding: Outstanding | undefined;
  readonly #rejections = new Rejections((name) => this.#classify(name) === 'upserts');
  #lastNonce = '';
  #acknowledgedVersion = '';
  #lastAckMs: number | undefined;
  /** A new client waits for an answer even if there is nothing to send. */
  #answerDue = false;
  #started = false;
  /** A state-of-the-world client that said it has something may have what is not known here. */
  #mayHoldMore = false;

  constructor(
    typeUrl: TypeUrl,
    view: string,
    protocol: Protocol,
    cache: ResourceCache,
    names: SubscribedNames,
  ) {
    this.typeUrl = typeUrl;
    this.subscription = new Subscription(typeUrl, names);
    this.#protocol = protocol;
    this.#cache = cache;
    this.#view = view;
  }

  get lastNonce(): string {
    return this.#lastNonce;
  }

  /** Whether the client has subscribed to anything. */
  get started(): boolean {
    return this.#started;
  }

  /** Takes in what a request says of the response that it answers. */
  answer(request: DiscoveryRequest, nowMs: number): Answer {
    const outstanding = this.#outstanding;
    if (!outstanding || request.nonce !== outstanding.nonce) {
      // #ack-nack: a state-of-the-world request with an older nonce is superseded by one to come; an
      // incremental one still changes the subscription.
      const stale = request.names.kind === 'all' && request.nonce !== this.#lastNonce;
      return { kind: this.#lastNonce !== '' && stale ? 'stale' : 'none' };
    }
    this.#outstanding = undefined;
    const afterMs = nowMs - outstanding.sentAtMs;
    if (request.rejection) {
      this.#rejections.add(request.rejection, outstanding.names);
      // One alone is not sent again: only a newer version can do better. A full state cannot be parted.
      if (outstanding.names.size > 1 && !this.#protocol.isFullState(this.typeUrl)) {
        this.#try(outstanding.names);
      }
      this.#pardon([...outstanding.names.keys()].filter((name) => !this.#canBeTold(name)));
      return { kind: 'nack', rejection: request.rejection, afterMs };
    }
    this.#pardon(
      this.#protocol.isFullState(this.typeUrl)
        ? this.#rejections.names()
        : outstanding.names.keys(),
    );
    this.#mayHoldMore = false;
    this.#acknowledgedVersion = outstanding.version;
    this.#lastAckMs = nowMs;
    return { kind: 'ack', afterMs };
  }

  /**
   * Takes in what a request subscribes to.
   * @param owed names whose parent was sent on this stream: they are sent even if they are known.
   */
  subscribe(request: DiscoveryRequest, owed: ReadonlySet<string>): SubscriptionChange {
    const { names } = request;
    const change =
      names.kind === 'all'
        ? this.subscription.replace(names.list)
        : this.subscription.modify(names.subscribe, names.unsubscribe);
    if (change.wildcardEnded || change.removed.length > 0) this.#forgetUnsubscribed(change);
    const known = this.#started ? undefined : request.known;
    this.#started = true;
    this.#expect(change, known, owed);
    return change;
  }

  /** A change in the cache to a resource that this watch includes. */
  changed({ name, before, after }: ResourceChange, revision: number): void {
    if (!after && !this.#protocol.tellsRemovals(this.typeUrl)) this.#pardon([name]);
    const pending = this.#pending.get(name);
    this.#pending.set(name, {
      held: pending?.held ?? before ?? NOTHING,
      since: Math.min(pending?.since ?? Infinity, revision),
    });
  }

  /** Has the resource sent again, changed or not, because the client waits for it. */
  warm(name: string): void {
    if (!this.subscription.includes(name)) return;
    this.#pending.set(name, { held: UNSURE, since: this.#pending.get(name)?.since ?? Infinity });
  }

  /** Whether something is to be sent, of upserts alone or of all. */
  isDirty(part: Part): boolean {
    if (this.#answerDue) return true;
    const trial = this.#rejections.trial();
    for (const name of this.#pending.keys()) {
      const kind = this.#classify(name);
      if (kind === 'none') this.#pending.delete(name);
      else if (kind === 'upserts' && trial && !trial.has(name)) continue;
      else if (part === 'all' || part === kind) return true;
    }
    return false;
  }

  /** Whether the client must first answer what it was sent. */
  get awaitsAnswer(): boolean {
    return this.#outstanding !== undefined;
  }

  /** Takes out what is to be sent; the caller sends it and calls `sent`. */
  take(wanted: Part): { push: Push; names: ReadonlyMap<string, Pending> } {
    const full = this.#protocol.isFullState(this.typeUrl);
    const trial = this.#rejections.trial();
    // A full state that leaves out what is gone has everything else in it.
    let part = full && wanted === 'removals' ? 'all' : wanted;
    if (trial && part === 'all') part = 'upserts';
    const upserts: EncodedResource[] = [];
    const removed: string[] = [];
    const kept: Buffer[] = [];
    // Mostly all of it is taken, thousands of names at a new client: they are not copied.
    const names = this.#pending;
    const left = new Map<string, Pending>();
    for (const [name, pending] of names) {
      const kind = this.#classify(name);
      const later = kind === 'removals' && part === 'upserts';
      if (later && pending.held.sotwField) kept.push(pending.held.sotwField);
      if (later || (kind === 'upserts' && (part === 'removals' || (trial && !trial.has(name))))) {
        left.set(name, pending);
        names.delete(name);
        continue;
      }
      if (kind === 'none') {
        names.delete(name);
        continue;
      }
      const resource = this.#cache.get(this.#view, this.typeUrl, name);
      if (resource) upserts.push(resource);
      else removed.push(name);
    }
    this.#pending = left;
    this.#answerDue = false;
    const push: Push = {
      resources: full ? this.#subscribed() : upserts,
      removed,
      kept: full ? kept : [],
      version: full && kept.length > 0 ? inexact(this.#version()) : this.#version(),
    };
    return { push, names };
  }

  sent(nonce: string, version: string, names: ReadonlyMap<string, Pending>, nowMs: number): void {
    this.#lastNonce = nonce;
    this.#outstanding = { nonce, version, sentAtMs: nowMs, names };
  }

  /** Version of a client that has all there is, but for what it rejected. */
  #version(): string {
    const version = this.#cache.version(this.#view, this.typeUrl);
    const hasAll = this.subscription.wildcard || !this.#protocol.isFullState(this.typeUrl);
    return this.#rejections.size > 0 || !hasAll ? inexact(version) : version;
  }

  /** Every change to this resource up to the returned revision is acknowledged. */
  acknowledgedRevision(name: string): number {
    if (this.#mayHoldMore && !this.#cache.get(this.#view, this.typeUrl, name)) return 0;
    const since = Math.min(
      this.#pending.get(name)?.since ?? Infinity,
      this.#outstanding?.names.get(name)?.since ?? Infinity,
      this.#rejections.since(name),
    );
    return since === Infinity ? this.#cache.revision : Math.max(0, since - 1);
  }

  get state(): SyncState {
    if (this.rejection) return 'NACKED';
    if (this.#outstanding || this.isDirty('all')) return 'STALE';
    return this.#acknowledgedVersion === '' ? 'NEVER_SENT' : 'SYNCED';
  }

  get rejection(): Rejection | undefined {
    return this.#rejections.newest;
  }

  get acknowledgedVersion(): string {
    return this.#acknowledgedVersion;
  }

  get lastAckMs(): number | undefined {
    return this.#lastAckMs;
  }

  #expect(
    change: SubscriptionChange,
    known: KnownState | undefined,
    owed: ReadonlySet<string>,
  ): void {
    // #ack-nack: a version says what the client has only if it subscribed to everything then and now.
    const everything = this.subscription.wildcard && this.subscription.names.size === 0;
    if (known?.kind === 'whole' && everything && known.version === this.#version()) {
      this.#acknowledgedVersion = known.version;
      return;
    }
    if (this.#protocol.isFullState(this.typeUrl)) {
      // Without an answer it would keep the version of all, and come back with it.
      if (change.wildcardEnded) this.#answerDue = true;
      if (known?.kind === 'whole' && known.version !== '') this.#expectWhole(known.version);
    }
    const versions = known?.kind === 'each' ? known.versions : undefined;
    if (change.wildcardAsked) {
      this.#answerDue = !versions || versions.size === 0;
      for (const name of this.#cache.resources(this.#view, this.typeUrl).keys()) {
        this.#ask(name, known ? NOTHING : UNSURE, versions, owed);
      }
      for (const [name, version] of versions ?? []) {
        if (!this.#cache.get(this.#view, this.typeUrl, name)) {
          this.#pending.set(name, { held: { version }, since: 0 });
        }
      }
    }
    const added = new Set(change.added);
    for (const name of change.asked) {
      if (known || added.has(name)) this.#ask(name, UNSURE, versions, owed);
      else this.warm(name);
    }
    if (versions && versions.size > 0 && this.#pending.size === 0) {
      this.#acknowledgedVersion = this.#version();
    }
  }

  /** The client has a state of everything that is not the newest one. */
  #expectWhole(version: string): void {
    this.#mayHoldMore = true;
    const held = this.#cache.heldAt(this.#view, this.typeUrl, version);
    for (const resource of held) {
      if (this.#cache.get(this.#view, this.typeUrl, resource.name)) continue;
      this.#pending.set(resource.name, { held: resource, since: 0 });
    }
  }

  /** Has the halves of what was rejected sent again, one after the other. */
  #try(names: ReadonlyMap<string, Pending>): void {
    for (const [name, { since }] of names) {
      const newest = this.#pending.get(name)?.since ?? Infinity;
      this.#pending.set(name, { held: UNSURE, since: Math.min(since, newest) });
    }
    this.#rejections.try([...names.keys()]);
  }

  #ask(
    name: string,
    held: Held,
    versions: ReadonlyMap<string, string> | undefined,
    owed: ReadonlySet<string>,
  ): void {
    const version = owed.has(name) ? undefined : versions?.get(name);
    if (version === undefined) {
      const pending = this.#pending.get(name);
      this.#pending.set(name, pending || held === UNSURE ? NEVER_TOLD : NEVER_HELD);
    } else if (this.#cache.get(this.#view, this.typeUrl, name)?.version !== version) {
      this.#pending.set(name, { held: { version }, since: 0 });
    }
  }

  #classify(name: string): 'upserts' | 'removals' | 'none' {
    const pending = this.#pending.get(name);
    if (!pending || !this.subscription.includes(name)) return 'none';
    const resource = this.#cache.get(this.#view, this.typeUrl, name);
    if (resource) return pending.held.version === resource.version ? 'none' : 'upserts';
    if (pending.held === NOTHING || !this.#protocol.tellsRemovals(this.typeUrl)) return 'none';
    return 'removals';
  }

  /** Whether anything can still be sent for the name. */
  #canBeTold(name: string): boolean {
    return (
      this.subscription.includes(name) &&
      (this.#protocol.tellsRemovals(this.typeUrl) ||
        this.#cache.get(this.#view, this.typeUrl, name) !== undefined)
    );
  }

  /** Everything subscribed to that exists. */
  #subscribed(): EncodedResource[] {
    const resources = this.#cache.resources(this.#view, this.typeUrl);
    if (this.subscription.wildcard) return [...resources.values()];
    return [...this.subscription.names].flatMap((name) => resources.get(name) ?? []);
  }

  #forgetUnsubscribed(change: SubscriptionChange): void {
    const candidates = change.wildcardEnded
      ? new Set([...this.#pending.keys(), ...this.#rejections.names()])
      : change.removed;
    const gone = [...candidates].filter((name) => !this.subscription.includes(name));
    for (const name of gone) this.#pending.delete(name);
    this.#pardon(gone);
  }

  /** Takes names off the rejected ones; those rejected together with them get another chance. */
  #pardon(names: Iterable<string>): void {
    for (const [name, since] of this.#rejections.pardon(names)) {
      this.#pending.set(name, { held: UNSURE, since });
    }
  }
}

/**
 * Marks the version of a client that took less, or holds more, than the version says, so that it does
 * not pass for one that is up to date when it comes back with it.
 */
function inexact(version: string): string {
  return `${version}~`;
}
