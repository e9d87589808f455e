/**
 * `GET logs/{id}` as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 * The Runner is read no faster than the reader takes it, so that nothing is queued here; when it goes
 * away it is asked again, from the last line on.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { JobService, type StreamLogsResponse } from '#gen/spark_gateway/v1/jobs_pb.js';
import { pause } from '../lib/grpc/server-set.js';
import type { Answer } from '../lib/http/answer.js';
import { Backoff, type Clock, type Timer } from '../model/clock.js';
import { GatewayError, GrpcStatus } from '../model/errors.js';
import { hasEnded, type JobState, jobStateOf } from '../model/job.js';
import type { LogEvents } from '../model/playground-api.js';
import type { Asking, Runner } from './runners.js';

/** A connection on which nothing happens says so this often; whether its reader may still read is looked at as often. */
export const HEARTBEAT_MS = 15_000;
/** When a reader whose connection was cut comes back. */
const RETRY_MS = 1_000;
/** A reader that takes nothing for so long has gone without a word; it may come back, and go on where it was. */
const STALLED_MS = 60_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/** Characters of one event, roughly: a page draws it at once. */
const EVENT_LENGTH = 64 * 1024;
const MAX_READERS = 500;
const MAX_READERS_OF_ONE = 20;

export interface Reading extends Asking {
  readonly jobId: string;
  readonly runner: Runner;
  /** Position of the last line that the reader has; empty: it has none. */
  readonly after: string;
  /** Rejects when the reader may no longer read. */
  readonly admit: () => Promise<unknown>;
}

export class LogStreams {
  readonly #clock: Clock;
  readonly #random: (() => number) | undefined;
  readonly #readers = new Map<ServerResponse, string>();
  readonly #closed = new AbortController();

  /** @param random in [0, 1), for pauses; Math.random by default */
  constructor(clock: Clock, random?: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Throws QUOTA_EXCEEDED when there are too many. */
  open(reading: Reading): Answer {
    const { caller } = reading;
    const who = `${caller.principal.issuer} ${caller.principal.subject}`;
    const own = [...this.#readers.values()].filter((reader) => reader === who).length;
    if (own >= MAX_READERS_OF_ONE || this.#readers.size >= MAX_READERS) {
      throw new GatewayError(
        'QUOTA_EXCEEDED',
        `As many logs are followed here as may be at a time (${own} by you); close some of them.`,
        { retryAfterMs: LONGEST_PAUSE_MS },
      );
    }
    return {
      status: 200,
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        // Neither kept nor changed on the way, and not gathered by a proxy (B22 of nginx and its like).
        'cache-control': 'no-store, no-transform',
        'x-accel-buffering': 'no',
      },
      body: (response) => {
        this.#readers.set(response, who);
        response.once('close', () => this.#readers.delete(response));
        void this.#serve(response, reading);
      },
    };
  }

  /** Ends every stream: readers come back to another process. */
  close(): void {
    this.#closed.abort(new Error('The Playground ends.'));
  }

  async #serve(response: ServerResponse, reading: Reading): Promise<void> {
    const signal = AbortSignal.any([reading.signal, this.#closed.signal]);
    const events = new EventWriter(response, this.#clock, signal);
    const heartbeat = this.#heartbeat(events, reading.admit, response);
    try {
      await events.write(`retry: ${RETRY_MS}\n\n`);
      await this.#copy(events, { ...reading, signal });
    } catch {
      // The reader has gone, or may no longer read, or the job is no longer to be seen: the next request says which.
    } finally {
      heartbeat.cancel();
      response.end();
    }
  }

  /** Resolves when the job has ended and all of its log was sent. */
  async #copy(events: EventWriter, reading: Reading): Promise<void> {
    const { jobId, runner, signal } = reading;
    const backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, this.#random);
    let after = reading.after;
    let told: JobState | undefined;
    for (;;) {
      try {
        const request = { jobId, after, follow: true };
        for await (const message of runner.stream(JobService.method.streamLogs, request, reading)) {
          backoff.reset();
          const state = message.state === '' ? told : jobStateOf(message.state);
          // The end is told last, after what there is to read.
          if (state !== undefined && state !== told) await events.send('state', { state });
          told = state;
          if (message.gap) await events.send('gap', {});
          after = await sendLines(events, message, after);
        }
        if (told !== undefined && hasEnded(told)) {
          await events.send('end', { state: told });
          return;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!passes(error)) throw error;
      }
      await pause(backoff.next(), this.#clock, signal);
    }
  }

  #heartbeat(events: EventWriter, admit: () => Promise<unknown>, response: ServerResponse): Timer {
    let timer: Timer;
    const beat = () => {
      timer = this.#clock.setTimer(HEARTBEAT_MS, beat);
      events.beat();
      admit().catch(() => response.end());
    };
    timer = this.#clock.setTimer(HEARTBEAT_MS, beat);
    return { cancel: () => timer.cancel() };
  }
}

/** The position of the last line, which is where to go on. */
async function sendLines(
  events: EventWriter,
  { lines }: StreamLogsResponse,
  after: string,
): Promise<string> {
  let position = after;
  let texts: string[] = [];
  let length = 0;
  for (const line of lines) {
    if (length > 0 && length + line.text.length > EVENT_LENGTH) {
      await events.send('log', texts, position);
      [texts, length] = [[], 0];
    }
    texts.push(line.text);
    length += line.text.length;
    position = line.position;
  }
  if (texts.length > 0) await events.send('log', texts, position);
  return position;
}

/** What is UNAVAILABLE may be there in a moment. */
function passes(error: unknown): boolean {
  return error instanceof GatewayError && error.status === GrpcStatus.UNAVAILABLE;
}

/** Resolves each write when the reader takes more. */
class EventWriter {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  constructor(response: ServerResponse, clock: Clock, signal: AbortSignal) {
    this.#response = response;
    this.#clock = clock;
    this.#signal = signal;
  }

  send<Name extends keyof LogEvents>(name: Name, data: LogEvents[Name], id = ''): Promise<void> {
    // No line break in JSON, and none in a position that we take.
    const position = /^[!-~]+$/.test(id) ? `id: ${id}\n` : '';
    return this.write(`event: ${name}\n${position}data: ${JSON.stringify(data)}\n\n`);
  }

  async write(text: string): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#response.write(text)) return;
    const stalled = this.#clock.setTimer(STALLED_MS, () => this.#response.destroy());
    try {
      await once(this.#response, 'drain', { signal: this.#signal });
    } finally {
      stalled.cancel();
    }
  }

  /** A comment, for who waits and for proxies; not for a reader that has not taken what came before. */
  beat(): void {
    if (!this.#response.writableNeedDrain && !this.#response.writableEnded) {
      this.#response.write(': heartbeat\n\n');
    }
  }
}
