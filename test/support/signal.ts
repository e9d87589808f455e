/** Values that arrive over time, taken one by one in order. */
export class Signal<T> {
  readonly #values: T[] = [];
  readonly #takers: ((value: T) => void)[] = [];

  emit(value: T): void {
    const taker = this.#takers.shift();
    if (taker) taker(value);
    else this.#values.push(value);
  }

  /** The next value, waiting for it if there is none yet. */
  next(): Promise<T> {
    if (this.#values.length > 0) return Promise.resolve(this.#values.shift() as T);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }

  /** How many values have come and not been taken. */
  get waiting(): number {
    return this.#values.length;
  }
}
