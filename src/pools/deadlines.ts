/** Collects the moments at which a plan made now would come out differently, so that the next look is in time. */
export class Deadlines {
  readonly nowMs: number;
  #nextMs = Infinity;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  /** Whether `atMs` has come; if not, it is remembered as a moment to look again. */
  passed(atMs: number): boolean {
    if (this.nowMs >= atMs) return true;
    this.#nextMs = Math.min(this.#nextMs, atMs);
    return false;
  }

  /** The soonest remembered moment, milliseconds since the epoch; undefined when there is none. */
  get nextMs(): number | undefined {
    return Number.isFinite(this.#nextMs) ? this.#nextMs : undefined;
  }
}
