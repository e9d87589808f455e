/**
 * `GET /api/v1/events`: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 * First a `snapshot`, then what has changed, at most once in an interval. A reader that is slow gets
 * the newest state when it can take more: nothing is queued for it.
 */
import type { ServerResponse } from 'node:http';
import type { Handler, Routes } from '../../lib/http/router.js';
import type { Clock, Timer } from '../../model/clock.js';
import { GatewayError } from '../../model/errors.js';
import { API_ROOT } from '../read-routes.js';
import type { Gatekeeper } from '../gatekeeper.js';
import type { LiveEvent, LiveState } from './live-state.js';

export interface EventsOptions {
  readonly state: Pick<LiveState, 'revision' | 'refresh' | 'snapshot' | 'since'>;
  readonly gatekeeper: Pick<Gatekeeper, 'admit'>;
  readonly clock: Clock;
}

/** The least time between two looks at what has changed. */
export const REFRESH_MS = 1_000;
/** A connection on which nothing happens says so this often; the caller's role is looked at as often. */
export const HEARTBEAT_MS = 10_000;
const HEARTBEAT: LiveEvent = { name: 'heartbeat', data: '{}' };
const MAX_READERS = 200;

interface Reader {
  readonly response: ServerResponse;
  /** What it was sent last. */
  revision: number;
  lastSentMs: number;
  checkedMs: number;
  readonly admit: () => Promise<unknown>;
}

export class Events {
  readonly #options: EventsOptions;
  readonly #readers = new Set<Reader>();
  #timer: Timer | undefined;

  constructor(options: EventsOptions) {
    this.#options = options;
  }

  routes(): Routes {
    return { [`GET ${API_ROOT}/events`]: this.#handle };
  }

  close(): void {
    this.#timer?.cancel();
    for (const { response } of this.#readers) response.end();
    this.#readers.clear();
  }

  readonly #handle: Handler = async (exchange) => {
    const { gatekeeper } = this.#options;
    await gatekeeper.admit(exchange, 'read');
    if (this.#readers.size >= MAX_READERS) {
      throw new GatewayError(
        'QUOTA_EXCEEDED',
        `More than ${MAX_READERS} pages follow this replica; close some of them.`,
      );
    }
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream; charset=utf-8' },
      body: (response) => this.#add(response, () => gatekeeper.admit(exchange, 'read')),
    };
  };

  #add(response: ServerResponse, admit: Reader['admit']): void {
    const { state, clock } = this.#options;
    // Others may look already; otherwise what was read last may be old.
    if (this.#readers.size === 0) state.refresh();
    const now = clock.now();
    const reader: Reader = {
      response,
      revision: state.revision,
      lastSentMs: now,
      checkedMs: now,
      admit,
    };
    this.#readers.add(reader);
    response.on('close', () => this.#remove(reader));
    response.on('drain', () => this.#send(reader));
    response.write(`retry: ${REFRESH_MS}\n\n${eventText(state.snapshot())}`);
    this.#timer ??= clock.setTimer(REFRESH_MS, this.#tick);
  }

  #remove(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  readonly #tick = (): void => {
    const { state, clock } = this.#options;
    this.#timer = clock.setTimer(REFRESH_MS, this.#tick);
    state.refresh();
    for (const reader of this.#readers) {
      this.#send(reader);
      if (clock.now() - reader.checkedMs >= HEARTBEAT_MS) this.#check(reader);
    }
  };

  #send(reader: Reader): void {
    const { response } = reader;
    if (response.writableNeedDrain || response.writableEnded) return;
    const { state, clock } = this.#options;
    const events = state.since(reader.revision);
    reader.revision = state.revision;
    const now = clock.now();
    if (events.length === 0 && now - reader.lastSentMs < HEARTBEAT_MS) return;
    reader.lastSentMs = now;
    response.write((events.length > 0 ? events : [HEARTBEAT]).map(eventText).join(''));
  }

  /** Ends the stream of who may no longer read. */
  #check(reader: Reader): void {
    reader.checkedMs = this.#options.clock.now();
    reader.admit().catch(() => reader.response.end());
  }
}

function eventText({ name, data }: LiveEvent): string {
  return `event: ${name}\ndata: ${data}\n\n`;
}
