/** The stream of events, which is opened again when it is lost. */
import type { MeView } from '../../model/admin-api.js';
import { ApiError } from '../../lib/page/request.js';
import { get, refusalOf } from './api-client.js';
import { EVENT_NAMES, type EventName } from './live-data.js';

export type ConnectionState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** What is shown is as old as `sinceMs`. */
  | { readonly kind: 'lost'; readonly sinceMs: number; readonly retryAtMs: number }
  /** The gateway answers, and does not show what happens now: `message` says why. It is asked again. */
  | { readonly kind: 'refused'; readonly sinceMs: number; readonly message: string }
  /** The session is over. */
  | { readonly kind: 'signed out'; readonly sinceMs: number }
  | { readonly kind: 'no role'; readonly me: MeView };

export interface ConnectionListener {
  event(name: EventName, json: string): void;
  state(state: ConnectionState): void;
  me(me: MeView): void;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
/** The server says something every 10 s. */
const SILENCE_MS = 25_000;

export class Connection {
  readonly #listener: ConnectionListener;
  #source: EventSource | undefined;
  #timer = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #lastHeardMs = Date.now();

  constructor(listener: ConnectionListener) {
    this.#listener = listener;
    // A computer that wakes up does not wait for the pause to end.
    addEventListener('online', () => this.#openNow());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#openNow();
    });
  }

  /** Asks who is signed in, then follows the events. */
  async open(): Promise<void> {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
    try {
      const me = await get<MeView>('me');
      this.#listener.me(me);
      if (me.role === 'none') {
        this.#listener.state({ kind: 'no role', me });
        return;
      }
      this.#follow();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.#listener.state({ kind: 'signed out', sinceMs: this.#lastHeardMs });
      } else {
        this.#lost();
      }
    }
  }

  #openNow(): void {
    if (this.#source === undefined && this.#timer !== 0) void this.open();
  }

  #follow(): void {
    const source = new EventSource('/api/v1/events');
    this.#source = source;
    const heard = () => {
      if (this.#source !== source) return;
      this.#lastHeardMs = Date.now();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#lost(), SILENCE_MS);
    };
    heard();
    for (const name of EVENT_NAMES) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        heard();
        this.#listener.event(name, event.data);
        if (name !== 'snapshot') return;
        this.#pauseMs = FIRST_PAUSE_MS;
        this.#listener.state({ kind: 'live' });
      });
    }
    source.addEventListener('heartbeat', heard);
    source.addEventListener('error', () => {
      if (this.#source !== source) return;
      // Closed at once: an answer that is no stream. What it says is not told here.
      if (source.readyState === EventSource.CLOSED) void this.#refused(source);
      else this.#lost();
    });
  }

  async #refused(source: EventSource): Promise<void> {
    const error = await refusalOf('events');
    if (this.#source !== source) return;
    if (error?.status === 401) {
      this.#source = undefined;
      clearTimeout(this.#timer);
      this.#listener.state({ kind: 'signed out', sinceMs: this.#lastHeardMs });
    } else this.#lost(error?.message);
  }

  #lost(refusal?: string): void {
    this.#source?.close();
    this.#source = undefined;
    clearTimeout(this.#timer);
    const pauseMs = this.#pauseMs * (0.75 + Math.random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#listener.state(
      refusal === undefined
        ? { kind: 'lost', sinceMs: this.#lastHeardMs, retryAtMs: Date.now() + pauseMs }
        : { kind: 'refused', sinceMs: this.#lastHeardMs, message: refusal },
    );
    this.#timer = setTimeout(() => void this.open(), pauseMs);
  }
}
