/**
 * Whether drivers in pods answer. A kubelet's probe of a TCP port goes on succeeding while the JVM
 * stands still, because the kernel accepts connections for it. Only those are probed whose silence
 * nobody would notice: idle ones, and those whose sessions have not had a first answer.
 */
import type { Clock } from '../model/clock.js';
import type { ObservedDriver } from '../model/driver.js';
import { PortMonitor, hangs, type Probe } from './port-monitor.js';

/** So that thousands of idle drivers cost no more. */
const PROBES_PER_SECOND = 100;
const SHORTEST_PERIOD_MS = 5_000;

export interface PodProbesOptions {
  readonly probe: Probe;
  /** Whether this driver is to be probed now. */
  readonly isWatched: (uid: string) => boolean;
  readonly clock: Clock;
  readonly onChange: () => void;
}

export class PodProbes {
  readonly #isWatched: (uid: string) => boolean;
  readonly #monitor: PortMonitor;

  constructor({ probe, isWatched, clock, onChange }: PodProbesOptions) {
    this.#isWatched = isWatched;
    this.#monitor = new PortMonitor({
      probe,
      clock,
      onChange,
      periodMs: () =>
        Math.max(SHORTEST_PERIOD_MS, (1_000 * this.#monitor.size) / PROBES_PER_SECOND),
    });
  }

  /** Probes those of the drivers that are to be, and no others; answers with what is known of each by now. */
  observe(drivers: readonly ObservedDriver[]): ObservedDriver[] {
    const watched = new Set<string>();
    const seen = drivers.map((driver) => {
      const { uid, address, port, condition } = driver;
      if (condition !== 'ready' || address === '' || !this.#isWatched(uid)) return driver;
      watched.add(uid);
      void this.#monitor.watch(uid, address, port);
      return this.#judged(driver);
    });
    for (const uid of this.#monitor.keys()) if (!watched.has(uid)) this.#monitor.unwatch(uid);
    return seen;
  }

  close(): void {
    this.#monitor.close();
  }

  /**
   * One that never answered and cannot be connected to from here is believed to be what its pod says: a
   * network policy may keep the probe out.
   */
  #judged(driver: ObservedDriver): ObservedDriver {
    const state = this.#monitor.state(driver.uid);
    if (!state) return driver;
    const { answers, hasAnswered, reason, answeredAtMs, silentSinceMs } = state;
    const answered = answeredAtMs === undefined ? driver : { ...driver, answeredAtMs };
    if (answers || silentSinceMs === undefined || !(hasAnswered || hangs(reason))) return answered;
    return {
      ...answered,
      condition: 'not_ready',
      reason: `Its pod is ready, but its port ${reason}.`,
      silentSinceMs,
    };
  }
}
