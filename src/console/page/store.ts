/** What the page is drawn from. A change draws it again, at most once for each frame. */
import type { MeView } from '../../model/admin-api.js';
import type { ConnectionState } from './connection.js';
import type { LiveData } from './live-data.js';
import type { Past } from './past.js';
import type { Route } from './route.js';
import type { Theme } from './theme-choice.js';

/** An action that waits to be confirmed, or has been sent. */
export type ActionTarget =
  | { readonly kind: 'drain' | 'evict'; readonly driver: string }
  | { readonly kind: 'release'; readonly session: string };

export interface PageState {
  readonly route: Route;
  readonly connection: ConnectionState;
  readonly me: MeView | undefined;
  readonly data: LiveData | undefined;
  readonly past: Past | undefined;
  readonly theme: Theme;
  readonly nowMs: number;
  readonly action: ActionTarget | undefined;
  /** What the last action did, for people; empty: nothing to say. */
  readonly outcome: string;
}

export class Store {
  #state: PageState;
  readonly #draw: (state: PageState) => void;
  #drawing = false;

  constructor(state: PageState, draw: (state: PageState) => void) {
    this.#state = state;
    this.#draw = draw;
  }

  get state(): PageState {
    return this.#state;
  }

  set(change: Partial<PageState>): void {
    this.#state = { ...this.#state, ...change };
    if (this.#drawing) return;
    this.#drawing = true;
    // A page in the background has no frames, and is drawn when it is looked at.
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw(this.#state);
    });
  }
}
