/** When the next driver of a namespace is likely to be up, learnt from those before it. */
import type { DriverRecord } from '../model/driver.js';

const UNKNOWN_START_MS = 20_000;
const MINIMUM_MS = 1000;
const MAXIMUM_MS = 60_000;
/** Weight of the newest start in the running mean. */
const NEWEST = 0.3;

export class StartEstimate {
  readonly #warming = new Set<string>();
  readonly #typicalMs = new Map<string, number>();

  /** Takes in the record's newest state. */
  observe(record: DriverRecord): void {
    if (record.phase === 'warming') {
      this.#warming.add(record.uid);
      return;
    }
    if (!this.#warming.delete(record.uid) || record.phase !== 'available') return;
    const tookMs = Math.max(0, record.phaseSinceMs - record.createdAtMs);
    const before = this.#typicalMs.get(record.namespace) ?? tookMs;
    this.#typicalMs.set(record.namespace, before + NEWEST * (tookMs - before));
  }

  /** Milliseconds until a driver is expected, given the namespace's records. */
  remainingMs(namespace: string, records: Iterable<DriverRecord>, nowMs: number): number {
    const began = Array.from(records)
      .filter((record) => record.phase === 'warming')
      .map((record) => record.createdAtMs);
    const typical = this.#typicalMs.get(namespace) ?? UNKNOWN_START_MS;
    const age = began.length > 0 ? nowMs - Math.min(...began) : 0;
    return Math.min(MAXIMUM_MS, Math.max(MINIMUM_MS, typical - age));
  }
}
