/** The assignments that a sidecar may use without asking (`AssignmentService.Follow`). */
import type { LRUCache } from 'lru-cache';
import type { Assignment } from '../../model/assignment.js';
import { type Clock, type Moment, passedMs } from '../../model/clock.js';
import { recent } from '../../lib/recent.js';

/** A question on its way to the control plane. A notice that comes meanwhile may overtake its answer. */
export interface Asking {
  readonly sessionId: string;
  /** The session has ended, or everything has: no answer holds. */
  ended: boolean;
  readonly endedDrivers: Set<string>;
}

/**
 * Good for as long as the lease is: until an assignment's `cacheTtlMs` after the newest acknowledged
 * report was sent. A lease that lapsed is a new beginning: nothing from before it is used again.
 */
export class AssignmentCache {
  readonly #clock: Clock;
  readonly #entries: LRUCache<string, Assignment>;
  readonly #asking = new Set<Asking>();
  /** When the newest acknowledged report was sent. */
  #leasedFrom: Moment | undefined;
  /** How long a lease lasts, as the newest assignment says. */
  #leaseMs = 0;

  constructor(clock: Clock, maxEntries = 100_000) {
    this.#clock = clock;
    this.#entries = recent(maxEntries);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The control plane has taken in a report that was sent at this moment. */
  renew(sentAt: Moment): void {
    if (this.#leasedFrom && !this.#leased(this.#leaseMs)) this.reset();
    if (sentAt.monotonicMs >= (this.#leasedFrom?.monotonicMs ?? 0)) this.#leasedFrom = sentAt;
  }

  get(sessionId: string): Assignment | undefined {
    const assignment = this.#entries.get(sessionId);
    return assignment && this.#leased(assignment.cacheTtlMs) ? assignment : undefined;
  }

  /** To be called before the control plane is asked, and `finish` whatever comes of it. */
  begin(sessionId: string): Asking {
    const asking = { sessionId, ended: false, endedDrivers: new Set<string>() };
    this.#asking.add(asking);
    return asking;
  }

  finish(asking: Asking): void {
    this.#asking.delete(asking);
  }

  /** Remembers the answer, if there is a lease. False: a notice has overtaken it, and it must not be used. */
  accept(asking: Asking, assignment: Assignment): boolean {
    if (asking.ended || asking.endedDrivers.has(assignment.driverUid)) return false;
    if (this.#leased(assignment.cacheTtlMs)) {
      this.#leaseMs = assignment.cacheTtlMs;
      this.#entries.set(assignment.sessionId, assignment);
    }
    return true;
  }

  /** These sessions, and all sessions of these drivers, have ended. */
  end(sessionIds: readonly string[], driverUids: readonly string[]): void {
    const sessions = new Set(sessionIds);
    const drivers = new Set(driverUids);
    for (const sessionId of sessions) this.#entries.delete(sessionId);
    if (drivers.size > 0) {
      for (const [sessionId, { driverUid }] of this.#entries.entries()) {
        if (drivers.has(driverUid)) this.#entries.delete(sessionId);
      }
    }
    for (const asking of this.#asking) {
      if (sessions.has(asking.sessionId)) asking.ended = true;
      for (const driver of drivers) asking.endedDrivers.add(driver);
    }
  }

  /** Drops everything. */
  reset(): void {
    this.#entries.clear();
    for (const asking of this.#asking) asking.ended = true;
  }

  #leased(ttlMs: number): boolean {
    return this.#leasedFrom !== undefined && passedMs(this.#clock, this.#leasedFrom) < ttlMs;
  }
}

// One piece of work for all who ask for the same thing at once.

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
}

export class SharedFlights<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /**
   * Joins the work that is under way for `key`, or starts it. Rejects with the signal's reason when
   * that fires; the work itself is aborted when the last of those who wait has gone.
   */
  join(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (signal.aborted) return Promise.reject(abortReason(signal));
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.waiting++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        flight.waiting--;
        if (flight.waiting === 0) {
          if (this.#flights.get(key) === flight) this.#flights.delete(key);
          flight.controller.abort(signal.reason);
        }
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', leave, { once: true });
      flight.result.then(
        (value) => {
          signal.removeEventListener('abort', leave);
          resolve(value);
        },
        (error: unknown) => {
          signal.removeEventListener('abort', leave);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const result = work(controller.signal).finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    const flight: Flight<T> = { result, controller, waiting: 0 };
    this.#flights.set(key, flight);
    return flight;
  }
}

/** Why a signal fired, as something to reject with. */
export function abortReason({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error('Nobody waits for this any more.');
}
