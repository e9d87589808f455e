/** One new session that waits for a driver, on behalf of every request that came for it meanwhile. */
import type { AssignRequest, Assignment } from '../model/assignment.js';
import type { Clock, Timer } from '../model/clock.js';
import type { GatewayError } from '../model/errors.js';
import { cancelled } from '../model/refusals.js';
import type { Place } from './waiting-room.js';

export interface AttemptEnds {
  /** A caller's hold is over. `last`: nobody else waits. Returns what the caller is told. */
  heldOut(last: boolean): GatewayError;
  /** The last caller went away by itself. */
  abandoned(): void;
}

interface Caller {
  readonly hold: Timer;
  resolve(assignment: Promise<Assignment>): void;
}

export class Attempt {
  readonly request: AssignRequest;
  /** The variant whose drivers it takes first. */
  readonly variant: string | undefined;
  /** Of the policy in force when it began. */
  readonly policyVersion: string;
  place: Place;
  readonly #clock: Clock;
  readonly #callers = new Set<Caller>();
  #granted: Promise<Assignment> | undefined;

  constructor(
    request: AssignRequest,
    place: Place,
    variant: string | undefined,
    policyVersion: string,
    clock: Clock,
  ) {
    this.request = request;
    this.place = place;
    this.variant = variant;
    this.policyVersion = policyVersion;
    this.#clock = clock;
  }

  /** There is a driver: from here on callers wait for the store only, not for their hold. */
  grant(assignment: Promise<Assignment>): void {
    this.#granted = assignment;
    // Each caller hears of a failure; with none left there is nobody to hear.
    assignment.catch(() => undefined);
    for (const caller of this.#callers) {
      caller.hold.cancel();
      caller.resolve(assignment);
    }
  }

  /** Resolves with the assignment; rejects when the hold is over or the signal fires first. */
  join(holdMs: number, signal: AbortSignal, ends: AttemptEnds): Promise<Assignment> {
    if (this.#granted) return this.#granted;
    return new Promise((resolve, reject) => {
      const leave = () => {
        hold.cancel();
        signal.removeEventListener('abort', aborted);
        this.#callers.delete(caller);
      };
      const aborted = () => {
        leave();
        if (!this.#granted && this.#callers.size === 0) ends.abandoned();
        reject(cancelled());
      };
      const hold = this.#clock.setTimer(holdMs, () => {
        leave();
        reject(ends.heldOut(this.#callers.size === 0));
      });
      const caller: Caller = {
        hold,
        resolve: (assignment) => {
          signal.removeEventListener('abort', aborted);
          resolve(assignment);
        },
      };
      this.#callers.add(caller);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }
}
