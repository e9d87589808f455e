import type { Logger } from 'pino';
import type { ActivitySink } from '../model/assignment.js';

/** Who tells a sink of activity now, with the number of streams of each. */
export class Reporters {
  readonly #sink: ActivitySink;
  readonly #logger: Logger;
  readonly #streams = new Map<string, number>();
  readonly #sinceMs: number;

  /** @param sinceMs when `sink` began to listen */
  constructor(sink: ActivitySink, logger: Logger, sinceMs: number) {
    this.#sink = sink;
    this.#logger = logger;
    this.#sinceMs = sinceMs;
  }

  /** @param earliestMs start of the oldest RPC in the first message; before our own: there is a past we did not see */
  add(reporter: string, earliestMs: number): void {
    const streams = this.#streams.get(reporter) ?? 0;
    this.#streams.set(reporter, streams + 1);
    if (streams > 0) return;
    this.#logger.info({ reporter }, 'access log connected');
    if (earliestMs < this.#sinceMs) this.#sink.reporterDisconnected(reporter);
    this.#sink.reporterConnected(reporter);
  }

  delete(reporter: string): void {
    const streams = (this.#streams.get(reporter) ?? 0) - 1;
    if (streams > 0) {
      this.#streams.set(reporter, streams);
      return;
    }
    this.#streams.delete(reporter);
    this.#logger.info({ reporter }, 'access log disconnected');
    this.#sink.reporterDisconnected(reporter);
  }
}
