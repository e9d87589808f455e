/** A job's log as it grows, opened again when the connection is lost. */
import { ApiError } from '../../lib/page/request.js';
import { type JobState, jobStates } from '../../model/job.js';
import { isObject } from '../../model/json.js';
import { openLog } from './api.js';
import { EventStreamParser, type ServerEvent } from './event-stream.js';

export interface LogListener {
  lines(lines: readonly string[]): void;
  /** Lines are lost here. */
  gap(): void;
  /** Told by the stream; the job's status says more. */
  jobState(state: JobState): void;
  connection(state: LogConnection): void;
}

export type LogConnection =
  | { readonly kind: 'opening' | 'following' | 'lost' | 'ended' | 'signed out' }
  | { readonly kind: 'refused'; readonly message: string };

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
/** The server says something every 15 s. */
const SILENCE_MS = 40_000;

export class LogStream {
  readonly #job: string;
  readonly #listener: LogListener;
  readonly #stopped = new AbortController();
  #lastId: string | undefined;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(job: string, listener: LogListener) {
    this.#job = job;
    this.#listener = listener;
  }

  async follow(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const over = await this.#connection();
      if (over || this.#stopped.signal.aborted) return;
      this.#listener.connection({ kind: 'lost' });
      await pause(this.#pauseMs * (0.75 + Math.random() / 2), this.#stopped.signal);
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  stop(): void {
    this.#stopped.abort();
  }

  /** Resolves with whether there is nothing more to come. */
  async #connection(): Promise<boolean> {
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#stopped.signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const { body } = await openLog(this.#job, this.#lastId, signal);
      this.#listener.connection({ kind: 'following' });
      const parser = new EventStreamParser();
      const decoder = new TextDecoder();
      const reader = body?.getReader();
      for (;;) {
        const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
        if (done || value === undefined) return false;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const event of parser.push(decoder.decode(value, { stream: true }))) {
          this.#pauseMs = parser.retryMs ?? FIRST_PAUSE_MS;
          if (this.#take(event)) return true;
        }
      }
    } catch (error) {
      return this.#isFinal(error);
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  /** Whether it was the last one. */
  #take({ name, data, id }: ServerEvent): boolean {
    const value = parsed(data);
    if (name === 'log') {
      // After a reconnect the last one may come again.
      if (id !== undefined && id === this.#lastId) return false;
      this.#lastId = id;
      if (Array.isArray(value)) this.#listener.lines(value.map(String));
    } else if (name === 'gap') this.#listener.gap();
    else if (name === 'state' || name === 'end') {
      const state = stateOf(value);
      if (state !== undefined) this.#listener.jobState(state);
    }
    if (name === 'end') this.#listener.connection({ kind: 'ended' });
    return name === 'end';
  }

  /** Whether asking again is of no use. */
  #isFinal(error: unknown): boolean {
    if (!(error instanceof ApiError)) return false;
    if (error.status === 401) {
      this.#listener.connection({ kind: 'signed out' });
      return true;
    }
    if (error.status >= 500 || error.status === 429) return false;
    this.#listener.connection({ kind: 'refused', message: error.message });
    return true;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function stateOf(value: unknown): JobState | undefined {
  return isObject(value) ? jobStates.find((state) => state === value['state']) : undefined;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
