/**
 * A local copy of one collection of objects: listed once and then kept up to date by a watch.
 *
 * The rules are those of https://kubernetes.io/docs/reference/using-api/api-concepts/: a list without
 * a resource version is consistent; a watch goes on from the version that was seen last, bookmarks
 * included; when that version is no longer kept (410), the collection is listed again. An object
 * leaves the copy only by a DELETED event or by a consistent list without it, so an object that is
 * missing here was really deleted, however long the connection was lost.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { Backoff, type Clock } from '../../model/clock.js';
import { reasonOf, retryAfterOf } from '../../model/errors.js';
import type { KubernetesApi, WatchEvent } from './kubernetes-api.js';
import { hasStatus, KubernetesError } from './http.js';
import type { KubernetesList, KubernetesObject } from './objects.js';

export interface ReflectorOptions<T> {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  /** Path of the collection. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What is kept of an object. Large fleets live on keeping little. undefined: nothing. */
  readonly keep: (object: KubernetesObject) => T | undefined;
  /** The kind may be unknown to the API server: then there are none, until it is made known. */
  readonly optional?: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Called after what is kept changed: with the change of the one object that an event was about, or
   * without, after a list. Also after the connection was lost or found again.
   */
  readonly onChange: (change?: Change<T>) => void;
  readonly random?: () => number;
}

/** What was kept of one object, and what is. */
export interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

const PAGE = 500;
/** A list of thousands of objects takes its time. */
const LIST_TIMEOUT_MS = 60_000;
/** The API server sends a bookmark about once a minute. */
const SILENCE_MS = 150_000;
/** A watch ends by itself after this long, and up to twice as long. */
const WATCH_SECONDS = 300;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 8_000;
/** A watch that ends sooner than this counts as a failed attempt. */
const SHORT_WATCH_MS = 1_000;
/** How often to look whether a kind that the API server does not know has been made known. */
const UNKNOWN_KIND_MS = 60_000;

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  #entries = new Map<string, T | undefined>();
  #resourceVersion: string | undefined;
  #problem: string | undefined = 'it has not been listed yet';
  /** No event has come since the version that was seen last was found too old. */
  #listedForNothing = false;
  #stop: AbortController | undefined;
  /** Ends what is under way, be it a watch or a pause. */
  #interrupt: (() => void) | undefined;
  #waiters: Waiter[] = [];
  /** How often a list was asked for, and which of these the last list answered. */
  #asked = 0;
  #answered = -1;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff(FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS, this.#random);
  }

  start(): void {
    if (this.#stop) return;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    // A `refresh` in the same turn is answered by the first list.
    this.#ended = Promise.resolve().then(() => this.#run(signal));
  }

  async stop(): Promise<void> {
    this.#stop?.abort();
    this.#interrupt?.();
    await this.#ended;
  }

  /** What was kept, by the objects' UIDs. */
  *values(): Generator<T, void> {
    for (const value of this.#entries.values()) if (value !== undefined) yield value;
  }

  get(uid: string): T | undefined {
    return this.#entries.get(uid);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Why the copy may be behind, for people; undefined while it is being kept up to date. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether the copy is kept up to date and shows what a list showed that began after the last `refresh`. */
  get isFresh(): boolean {
    return this.#problem === undefined && this.#answered === this.#asked;
  }

  /**
   * Lists again, consistently, and resolves when the copy shows what that list showed. Rejects with
   * the first failure; the list is tried again all the same (`isFresh` says when it came about).
   */
  refresh(): Promise<void> {
    if (!this.#stop || this.#stop.signal.aborted) {
      return Promise.reject(new Error(`${this.#options.path} is not being watched.`));
    }
    this.#asked += 1;
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#interrupt?.();
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedMs = this.#options.clock.now();
      try {
        if (this.#resourceVersion === undefined || this.#answered !== this.#asked)
          await this.#list(signal);
        if (this.#resourceVersion === undefined) await this.#pause(UNKNOWN_KIND_MS, signal);
        else await this.#watch(signal);
        const lastedMs = this.#options.clock.now() - startedMs;
        if (lastedMs < SHORT_WATCH_MS && this.#waiters.length === 0) {
          await this.#pause(this.#backoff.next(), signal);
        }
      } catch (error) {
        if (!signal.aborted) await this.#failed(error, signal);
      }
    }
    this.#settle(new Error(`${this.#options.path} is no longer watched.`));
  }

  async #list(signal: AbortSignal): Promise<void> {
    const waiters = this.#waiters;
    const asked = this.#asked;
    this.#waiters = [];
    try {
      const { objects, resourceVersion } = await this.#listAll(signal);
      this.#entries = new Map(
        objects.map((object) => [object.metadata.uid ?? '', this.#keep(object)]),
      );
      this.#resourceVersion = resourceVersion;
      this.#answered = asked;
      this.#settled(undefined);
      for (const waiter of waiters) waiter.resolve();
      this.#options.onChange();
    } catch (error) {
      for (const waiter of waiters) waiter.reject(error);
      throw error;
    }
  }

  /** One consistent snapshot: the later pages are read at the version of the first one. */
  async #listAll(signal: AbortSignal) {
    const { api, path, labelSelector, fieldSelector } = this.#options;
    const objects: KubernetesObject[] = [];
    let next: string | undefined;
    for (;;) {
      let page: KubernetesList<KubernetesObject>;
      try {
        page = await api.request({
          path,
          query: { labelSelector, fieldSelector, limit: PAGE, continue: next },
          timeoutMs: LIST_TIMEOUT_MS,
          signal,
        });
      } catch (error) {
        if (this.#options.optional !== true || !hasStatus(error, 404)) throw error;
        return { objects, resourceVersion: undefined };
      }
      objects.push(...page.items);
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
      if (next === undefined) return { objects, resourceVersion: page.metadata.resourceVersion };
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#waiters.length > 0) return;
    const { api, path, labelSelector, fieldSelector } = this.#options;
    const watching = new AbortController();
    const end = () => watching.abort();
    signal.addEventListener('abort', end, { once: true });
    this.#interrupt = end;
    try {
      const timeoutSeconds = Math.round(WATCH_SECONDS * (1 + this.#random()));
      const events = api.watch({
        path,
        query: {
          labelSelector,
          fieldSelector,
          resourceVersion: this.#resourceVersion,
          timeoutSeconds,
        },
        signal: watching.signal,
        silenceMs: SILENCE_MS,
        onOpen: () => this.#settled(undefined),
      });
      for await (const event of events) this.#apply(event);
    } catch (error) {
      // Ended by `refresh`, not by a failure.
      if (!watching.signal.aborted || signal.aborted) throw error;
    } finally {
      this.#interrupt = undefined;
      signal.removeEventListener('abort', end);
    }
  }

  #apply(event: WatchEvent): void {
    this.#backoff.reset();
    this.#listedForNothing = false;
    if (!isObject(event.object)) return;
    const { metadata } = event.object;
    this.#resourceVersion = metadata.resourceVersion;
    const uid = metadata.uid ?? '';
    const known = this.#entries.has(uid);
    const before = this.#entries.get(uid);
    let after: T | undefined;
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        after = this.#keep(event.object);
        if (known && isDeepStrictEqual(before, after)) return;
        this.#entries.set(uid, after);
        break;
      case 'DELETED':
        if (!this.#entries.delete(uid)) return;
        break;
      default:
        return;
    }
    this.#options.onChange({ before, after });
  }

  #keep(object: KubernetesObject): T | undefined {
    try {
      return this.#options.keep(object);
    } catch (error) {
      const { name, namespace } = object.metadata;
      this.#options.logger.warn(
        { reason: reasonOf(error), name, namespace, path: this.#options.path },
        'an object cannot be read and is left out',
      );
      return undefined;
    }
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const expired = error instanceof KubernetesError && error.isExpired;
    if (expired && this.#resourceVersion !== undefined && !this.#listedForNothing) {
      this.#resourceVersion = undefined;
      this.#listedForNothing = true;
      this.#options.logger.info({ path: this.#options.path }, 'a watch was too far behind');
      return;
    }
    if (expired) this.#resourceVersion = undefined;
    const pauseMs = this.#backoff.next(retryAfterOf(error));
    this.#options.logger.warn(
      { reason: reasonOf(error), path: this.#options.path, pauseMs: Math.round(pauseMs) },
      'a watch broke off',
    );
    this.#settled(reasonOf(error));
    this.#settle(error);
    await this.#pause(pauseMs, signal);
  }

  #settled(problem: string | undefined): void {
    const changed = (this.#problem === undefined) !== (problem === undefined);
    this.#problem = problem;
    if (changed) this.#options.onChange();
  }

  #settle(error: unknown): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#waiters.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimer(ms, resolve);
      this.#interrupt = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

function isObject(value: unknown): value is KubernetesObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    'metadata' in value &&
    typeof value.metadata === 'object' &&
    value.metadata !== null
  );
}
