/** What operators did lately, as this replica saw it. The audit records are what counts. */
import type { ActionView } from '../../model/admin-api.js';
import type { AdminAction } from '../../model/audit.js';
import type { Clock } from '../../model/clock.js';
import { isoTime } from '../views/time.js';

const KEPT = 50;

export class RecentActions {
  readonly #clock: Clock;
  #actions: readonly ActionView[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(action: AdminAction): void {
    this.#actions = [{ at: isoTime(this.#clock.now()), ...action }, ...this.#actions].slice(
      0,
      KEPT,
    );
  }

  newestFirst(): readonly ActionView[] {
    return this.#actions;
  }
}
