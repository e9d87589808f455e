/** One call from its request to its end. */
import type { UnaryCall } from './transport.js';

export class Call implements UnaryCall {
  readonly traceparent: string | undefined;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;

  constructor(traceparent: string | undefined) {
    this.traceparent = traceparent;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#abortReason) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get abortReason(): Error | undefined {
    return this.#abortReason;
  }

  /** The first reason counts. */
  abort(reason: Error): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(reason);
  }
}
