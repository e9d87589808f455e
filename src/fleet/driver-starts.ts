/** Drivers that this process has seen come up, as far as their records say. */
import { isLeaving, type DriverPhase } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';
import type { DriverStart, DriverStarts } from '../model/pool.js';

/** How a start went on: `ready`, or `failed` for a driver that was given up while it warmed up. */
export type StartOutcome = 'ready' | 'failed';

export class StartedDrivers implements DriverStarts {
  readonly #ledger: Pick<Ledger, 'get' | 'onChange'>;
  readonly #onStart: (start: DriverStart, outcome: StartOutcome) => void;
  /** By uid: the phase that was seen last, and the start once it was seen. */
  readonly #seen = new Map<string, { phase: DriverPhase; start?: DriverStart }>();
  readonly #stop: () => void;

  constructor(
    ledger: Pick<Ledger, 'get' | 'onChange'>,
    onStart: (start: DriverStart, outcome: StartOutcome) => void,
  ) {
    this.#ledger = ledger;
    this.#onStart = onStart;
    this.#stop = ledger.onChange((uid) => this.#changed(uid));
  }

  startOf(uid: string): DriverStart | undefined {
    return this.#seen.get(uid)?.start;
  }

  close(): void {
    this.#stop();
  }

  #changed(uid: string): void {
    const record = this.#ledger.get(uid);
    if (!record || record.phase === 'gone') {
      if (this.#seen.get(uid)?.phase === 'warming' && record) this.#ended(uid, record, 'failed');
      this.#seen.delete(uid);
      return;
    }
    const before = this.#seen.get(uid);
    if (before?.phase === record.phase) return;
    const seen = { ...before, phase: record.phase };
    this.#seen.set(uid, seen);
    if (before?.phase !== 'warming') return;
    this.#ended(uid, record, isLeaving(record.phase) ? 'failed' : 'ready');
  }

  #ended(
    uid: string,
    record: {
      readonly namespace: string;
      readonly createdAtMs: number;
      readonly phaseSinceMs: number;
    },
    outcome: StartOutcome,
  ): void {
    const { namespace, createdAtMs, phaseSinceMs } = record;
    const start = { namespace, createdAtMs, readyAtMs: phaseSinceMs };
    const seen = this.#seen.get(uid);
    if (outcome === 'ready' && seen) seen.start = start;
    this.#onStart(start, outcome);
  }
}
