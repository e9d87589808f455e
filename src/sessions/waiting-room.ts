/** The sessions that wait for a driver: first come, first served within a namespace. */
import type { Clock } from '../model/clock.js';
import type { DriverRecord } from '../model/driver.js';
import { poolKey, type DemandSource, type PoolName } from '../model/pool.js';

export interface Place {
  readonly sessionId: string;
  readonly namespace: string;
  /** The variant whose drivers alone will do; undefined: the pool's own. */
  readonly variant: string | undefined;
  /** Position in the line; a session that was told to come back keeps it. */
  readonly order: number;
}

interface Returning {
  readonly place: Place;
  readonly untilMs: number;
}

export class WaitingRoom implements DemandSource {
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  /** By namespace, in order. */
  readonly #places = new Map<string, readonly Place[]>();
  /** By session id: told to come back, and counted as demand until then. */
  readonly #returning = new Map<string, Returning>();
  #nextOrder = 0;
  /** Who may yet have a driver at once, which is no demand. */
  readonly #newcomers = new Set<Place>();
  #telling = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Listeners hear of it when `waits` finds it still there. */
  enter(sessionId: string, { namespace, variant }: PoolName): Place {
    const before = this.#returning.get(sessionId)?.place;
    const isForgotten = this.#forgetLate();
    if (this.#returning.delete(sessionId) || isForgotten) this.#notify();
    const order = before?.namespace === namespace ? before.order : this.#nextOrder++;
    const place = { sessionId, namespace, variant, order };
    const others = this.places(namespace);
    const at = others.findIndex((other) => other.order > order);
    this.#places.set(namespace, at < 0 ? [...others, place] : others.toSpliced(at, 0, place));
    this.#newcomers.add(place);
    return place;
  }

  /** Those of the namespace's sessions that have no driver by now wait for one. */
  waits(namespace: string): void {
    for (const place of this.places(namespace)) {
      if (this.#newcomers.delete(place)) this.#notify();
    }
  }

  /** The session has a driver, or nobody waits for it any more. */
  leave(place: Place): void {
    const rest = this.places(place.namespace).filter((other) => other !== place);
    if (rest.length > 0) this.#places.set(place.namespace, rest);
    else this.#places.delete(place.namespace);
    if (!this.#newcomers.delete(place)) this.#notify();
  }

  /** The session was told to come back: it counts as demand, and keeps its position, for `forMs`. */
  leaveToReturn(place: Place, forMs: number): void {
    this.#returning.set(place.sessionId, { place, untilMs: this.#clock.now() + forMs });
    this.#newcomers.delete(place);
    this.leave(place);
    this.#clock.setTimer(forMs, () => {
      if (this.#forgetLate()) this.#notify();
    });
  }

  /** Whether the session was told to come back, and still may. */
  expects(sessionId: string): boolean {
    return (this.#returning.get(sessionId)?.untilMs ?? 0) > this.#clock.now();
  }

  /** The session no longer waits for a variant's driver: it keeps its position. */
  withoutVariant(place: Place): Place {
    const changed = { ...place, variant: undefined };
    const places = this.places(place.namespace).map((other) => (other === place ? changed : other));
    this.#places.set(place.namespace, places);
    this.#newcomers.delete(place);
    this.#notify();
    return changed;
  }

  places(namespace: string): readonly Place[] {
    return this.#places.get(namespace) ?? [];
  }

  occupied(): Iterable<string> {
    return this.#places.keys();
  }

  waiting(pool: PoolName): number {
    const key = poolKey(pool);
    let count = this.places(pool.namespace).filter((place) => poolKey(place) === key).length;
    for (const { place, untilMs } of this.#returning.values()) {
      if (poolKey(place) === key && untilMs > this.#clock.now()) count += 1;
    }
    return count;
  }

  namespaces(): Iterable<string> {
    const returning = [...this.#returning.values()]
      .filter(({ untilMs }) => untilMs > this.#clock.now())
      .map(({ place }) => place.namespace);
    return new Set([...this.#places.keys(), ...returning]);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #forgetLate(): boolean {
    const before = this.#returning.size;
    for (const [sessionId, { untilMs }] of this.#returning) {
      if (untilMs <= this.#clock.now()) this.#returning.delete(sessionId);
    }
    return this.#returning.size < before;
  }

  /** Once for all that changes in one step. */
  #notify(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}

// When the next driver of a namespace is likely to be up, learnt from those before it.

const UNKNOWN_START_MS = 20_000;
const MINIMUM_MS = 1000;
const MAXIMUM_MS = 60_000;
/** Weight of the newest start in the running mean. */
const NEWEST = 0.3;

export class StartEstimate {
  readonly #warming = new Set<string>();
  readonly #typicalMs = new Map<string, number>();

  /** Takes in the record's newest state. */
  observe(record: DriverRecord): void {
    if (record.phase === 'warming') {
      this.#warming.add(record.uid);
      return;
    }
    if (!this.#warming.delete(record.uid) || record.phase !== 'available') return;
    const tookMs = Math.max(0, record.phaseSinceMs - record.createdAtMs);
    const before = this.#typicalMs.get(record.namespace) ?? tookMs;
    this.#typicalMs.set(record.namespace, before + NEWEST * (tookMs - before));
  }

  /** Milliseconds until a driver is expected, given the namespace's records. */
  remainingMs(namespace: string, records: Iterable<DriverRecord>, nowMs: number): number {
    const began = Array.from(records)
      .filter((record) => record.phase === 'warming')
      .map((record) => record.createdAtMs);
    const typical = this.#typicalMs.get(namespace) ?? UNKNOWN_START_MS;
    const age = began.length > 0 ? nowMs - Math.min(...began) : 0;
    return Math.min(MAXIMUM_MS, Math.max(MINIMUM_MS, typical - age));
  }
}
