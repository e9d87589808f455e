/** A value with a revision: readers are sent it when it has changed. */
export class LiveValue {
  #json = 'null';
  #changedAt = 0;

  replace(value: unknown, revision: number): void {
    const json = JSON.stringify(value);
    if (json === this.#json) return;
    this.#json = json;
    this.#changedAt = revision;
  }

  /** JSON. */
  all(): string {
    return this.#json;
  }

  /** undefined: the same as at that revision. */
  since(revision: number): string | undefined {
    return this.#changedAt > revision ? this.#json : undefined;
  }
}
