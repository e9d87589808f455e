/**
 * The ledger of a replica: a follower's while another leads, the leader's own while this one does.
 *
 * Its `epoch` is what everyone else in the process goes by. It shows leadership only after every
 * record has been read consistently under the epoch that was won, and no longer than the lease holds.
 */
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import type { DriverRecord } from '../model/driver.js';
import type { Leadership, Ledger, RecordStore } from '../model/ledger.js';
import { FollowerLedger } from './follower-ledger.js';
import type { KubernetesRecordMirror } from './kubernetes-mirror.js';
import type { KubernetesLease } from './lease.js';
import { openLedger, type StoredLedger } from './ledger.js';

export interface ElectedLedgerOptions {
  readonly lease: Pick<KubernetesLease, 'epoch' | 'onChange'>;
  readonly store: RecordStore;
  readonly mirror: Pick<KubernetesRecordMirror, 'records' | 'onChange'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RETRY_MS = 1_000;

export class ElectedLedger implements Ledger, Leadership {
  readonly #options: ElectedLedgerOptions;
  readonly #follower: FollowerLedger;
  readonly #listeners = new Set<(uid: string) => void>();
  readonly #epochListeners = new Set<(epoch: number | undefined) => void>();
  readonly #stops: (() => void)[] = [];
  #leading: { readonly epoch: number; readonly ledger: StoredLedger } | undefined;
  /** The epoch under which the records are being read. */
  #reading: number | undefined;
  #retry: Timer | undefined;

  constructor(options: ElectedLedgerOptions) {
    this.#options = options;
    this.#follower = new FollowerLedger(options.mirror);
    this.#stops.push(
      this.#follower.onChange((uid) => {
        if (!this.#leading) this.#tell(uid);
      }),
      options.lease.onChange(() => this.#elected()),
    );
    this.#elected();
  }

  /** The epoch under which every record has been read, while the lease holds. */
  epoch(): number | undefined {
    const epoch = this.#options.lease.epoch();
    return epoch !== undefined && this.#leading?.epoch === epoch ? epoch : undefined;
  }

  /** Calls back when leadership begins or ends. */
  onEpoch(listener: (epoch: number | undefined) => void): () => void {
    this.#epochListeners.add(listener);
    return () => this.#epochListeners.delete(listener);
  }

  /** Writes what was put off, while the lease still holds. */
  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    this.#retry?.cancel();
    this.#follower.close();
    await this.#leading?.ledger.close();
  }

  get(uid: string): DriverRecord | undefined {
    return this.#current.get(uid);
  }

  all(): Iterable<DriverRecord> {
    return this.#current.all();
  }

  bySession(sessionId: string): DriverRecord | undefined {
    return this.#current.bySession(sessionId);
  }

  byNamespace(namespace: string): Iterable<DriverRecord> {
    return this.#current.byNamespace(namespace);
  }

  create(record: DriverRecord): Promise<void> {
    return this.#current.create(record);
  }

  update(uid: string, change: (record: DriverRecord) => DriverRecord): Promise<DriverRecord> {
    return this.#current.update(uid, change);
  }

  updateLazily(uid: string, change: (record: DriverRecord) => DriverRecord): void {
    this.#current.updateLazily(uid, change);
  }

  delete(uid: string): Promise<void> {
    return this.#current.delete(uid);
  }

  onChange(listener: (uid: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get #current(): Ledger {
    return this.#leading?.ledger ?? this.#follower;
  }

  #elected(): void {
    const epoch = this.#options.lease.epoch();
    if (this.#leading && this.#leading.epoch !== epoch) {
      const before = this.#leading.ledger;
      this.#leading = undefined;
      this.#switched(before, this.#follower);
    }
    if (epoch === undefined || this.#leading || this.#reading === epoch) return;
    this.#reading = epoch;
    void this.#lead(epoch);
  }

  async #lead(epoch: number): Promise<void> {
    const { lease, store, clock, logger } = this.#options;
    this.#retry?.cancel();
    try {
      const leadership = {
        epoch: () => (lease.epoch() === epoch ? epoch : undefined),
      };
      const ledger = await openLedger({ store, leadership, clock, logger });
      if (lease.epoch() !== epoch || this.#leading) return;
      ledger.onChange((uid) => {
        if (this.#leading?.ledger === ledger) this.#tell(uid);
      });
      this.#leading = { epoch, ledger };
      logger.info({ epoch, records: [...ledger.all()].length }, 'every record was read');
      this.#switched(this.#follower, ledger);
    } catch (error) {
      logger.error({ err: error, epoch }, 'the records cannot be read, so nothing is decided');
      this.#retry = clock.setTimer(RETRY_MS, () => this.#elected());
    } finally {
      if (this.#reading === epoch) this.#reading = undefined;
    }
  }

  #switched(before: Ledger, after: Ledger): void {
    for (const listener of this.#epochListeners) listener(this.epoch());
    const uids = new Set([...before.all(), ...after.all()].map(({ uid }) => uid));
    for (const uid of uids) {
      if (before.get(uid) !== after.get(uid)) this.#tell(uid);
    }
  }

  #tell(uid: string): void {
    for (const listener of this.#listeners) listener(uid);
  }
}
