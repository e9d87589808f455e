/** What the controller remembers of drivers from one look to the next, beside their records. */
import type { DriverRecord, ObservedDriver, RequestedDriver } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';
import type { Sightings } from './sightings.js';

export class FleetMemory {
  readonly #silentSince = new Map<string, number>();
  /** Requests that this leader waits for, whose drivers nobody has seen yet. */
  readonly #awaited = new Set<string>();
  /** Records of live drivers as they were last seen: the store may lose them. */
  readonly #records = new Map<string, DriverRecord>();

  /** Notes what a look showed, and the records of that moment. */
  note({ drivers, doubtful }: Sightings, ledger: Pick<Ledger, 'all'>, nowMs: number): void {
    this.#noteSilence(drivers, nowMs);
    // A record goes by itself only once its driver is gone: one that goes before that was lost.
    for (const [uid, { instance }] of this.#records) {
      const driver = drivers.get(uid);
      const isSame =
        driver !== undefined &&
        driver.condition !== 'ended' &&
        (instance === '' || driver.instance === instance);
      if (!isSame && !doubtful.has(uid)) this.#records.delete(uid);
    }
    for (const record of ledger.all()) {
      if (record.phase === 'gone') this.#records.delete(record.uid);
      else this.#records.set(record.uid, record);
    }
  }

  /** Notes what is still to come up. `coming`: requests, and creations that are under way. */
  noteComing(
    coming: Iterable<Pick<RequestedDriver, 'resource'>>,
    { drivers }: Sightings,
    records: Iterable<DriverRecord>,
  ): void {
    const wanted = new Set([...coming].map(({ resource }) => resource));
    const seen = new Set([...drivers.values()].map(({ resource }) => resource));
    for (const resource of this.#awaited) {
      if (!wanted.has(resource)) this.#awaited.delete(resource);
    }
    for (const resource of wanted) if (!seen.has(resource)) this.#awaited.add(resource);
    for (const { resource } of records) if (resource !== undefined) this.#awaited.delete(resource);
  }

  /** Another leader waits for others. */
  newTerm(): void {
    this.#awaited.clear();
  }

  /** Resources whose drivers had not been seen when they were first waited for. */
  get awaited(): ReadonlySet<string> {
    return this.#awaited;
  }

  /** Since when the driver does not answer, milliseconds since the epoch. */
  silentSinceMs(uid: string): number | undefined {
    return this.#silentSince.get(uid);
  }

  /** The record of a driver that is still seen as it was last, whether or not the store has it. */
  record(uid: string): DriverRecord | undefined {
    return this.#records.get(uid);
  }

  /** The records, and those of drivers that are still seen which the store has lost. */
  known(ledger: Pick<Ledger, 'all' | 'get'>): DriverRecord[] {
    const lost = [...this.#records.values()].filter(({ uid }) => !ledger.get(uid));
    return [...ledger.all(), ...lost];
  }

  /** Of a driver in doubt nothing new is known: it neither answers nor stops to. */
  #noteSilence(drivers: Sightings['drivers'], nowMs: number): void {
    for (const uid of this.#silentSince.keys()) {
      const driver = drivers.get(uid);
      if (driver?.condition !== 'in_doubt' && !(driver && isSilent(driver))) {
        this.#silentSince.delete(uid);
      }
    }
    for (const [uid, driver] of drivers) {
      if (!isSilent(driver) || driver.condition === 'in_doubt') continue;
      const seenMs = this.#silentSince.get(uid) ?? nowMs;
      this.#silentSince.set(uid, Math.min(seenMs, driver.silentSinceMs ?? nowMs));
    }
  }
}

/** Whether it has answered and does not now, as far as is known. */
function isSilent({ condition, silentSinceMs }: ObservedDriver): boolean {
  return condition === 'not_ready' || silentSinceMs !== undefined;
}
