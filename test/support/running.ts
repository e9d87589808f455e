/** A command under way: its result, and the events that it tells of meanwhile. */
export class Running<Result, Event> {
  readonly result: Promise<Result>;
  readonly events: Event[] = [];
  #resolve!: (result: Result) => void;
  #reject!: (error: Error) => void;
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor() {
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A test may look at the events only.
    this.result.catch(() => undefined);
  }

  /** The first event, past or to come, that fits; rejects when the command ends without one. */
  async event(fits: (event: Event) => boolean): Promise<Event> {
    for (let seen = 0; ;) {
      for (; seen < this.events.length; seen++) {
        const event = this.events[seen];
        if (event !== undefined && fits(event)) return event;
      }
      if (this.#ended) {
        await this.result;
        throw new Error('The command ended without the expected event.');
      }
      // Woken by the next event or by the end.
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  onEvent(event: Event): void {
    this.events.push(event);
    this.#wake();
  }

  onResult(result: Result): void {
    this.#ended = true;
    this.#resolve(result);
    this.#wake();
  }

  onError(error: Error): void {
    this.#ended = true;
    this.#reject(error);
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
