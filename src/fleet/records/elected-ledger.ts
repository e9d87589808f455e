/**
 * The ledger of a replica: a follower's while another leads, the leader's own while this one does.
 *
 * Its `epoch` is what everyone else in the process goes by. It shows leadership only after every
 * record has been read consistently under the epoch that was won, and no longer than the lease holds.
 * When it ends, the records are shown as this process knew them until the watch has certainly caught
 * up with what it wrote: a driver of which Envoy was told must not disappear for a moment, nor for as
 * long as the API server is away.
 */
import type { Logger } from 'pino';
import { Backoff, type Clock, type Timer } from '../../model/clock.js';
import type { DriverRecord } from '../../model/driver.js';
import { retryAfterOf } from '../../model/errors.js';
import type { Leadership, Ledger, RecordStore } from '../../model/ledger.js';
import type { KubernetesRecordMirror } from './kubernetes-mirror.js';
import type { KubernetesLease } from './kubernetes-lease.js';
import { openLedger, type StoredLedger } from './ledger.js';
import { RecordIndex } from './record-index.js';
import { notLeader } from './record-writer.js';

/** One time of leading, from its consistent read of the records to the loss of the lease. */
export interface Term {
  readonly epoch: number;
  /** Of this term alone: it accepts no change once the term is over. */
  readonly ledger: Ledger;
  /** The epoch while the term lasts; undefined ever after, even if this process leads again. */
  readonly leadership: Leadership;
}

export interface ElectedLedgerOptions {
  readonly lease: Pick<KubernetesLease, 'epoch' | 'onChange'>;
  readonly store: RecordStore;
  readonly mirror: Pick<
    KubernetesRecordMirror,
    'records' | 'record' | 'shows' | 'problem' | 'onChange' | 'refresh'
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 8_000;

export class ElectedLedger implements Ledger, Leadership {
  readonly #options: ElectedLedgerOptions;
  readonly #follower: FollowerLedger;
  readonly #listeners = new Set<(uid: string) => void>();
  readonly #termListeners = new Set<(term: Term | undefined) => void>();
  readonly #stops: (() => void)[] = [];
  #leading: (Term & { readonly ledger: StoredLedger }) | undefined;
  /** The ledger of the term that ended last, until the watch has caught up. */
  #former: StoredLedger | undefined;
  /** The epoch under which the records are being read. */
  #reading: number | undefined;
  #retry: Timer | undefined;
  readonly #backoff = new Backoff(RETRY_MS, LONGEST_RETRY_MS);

  constructor(options: ElectedLedgerOptions) {
    this.#options = options;
    this.#follower = new FollowerLedger(options.mirror);
    this.#stops.push(
      this.#follower.onChange((uid) => {
        if (this.#current === this.#follower) this.#tell(uid);
      }),
      options.lease.onChange(() => this.#elected()),
      options.mirror.onChange((uid) => this.#restore(uid)),
    );
    this.#elected();
  }

  /** The epoch under which every record has been read, while the lease holds. */
  epoch(): number | undefined {
    const epoch = this.#options.lease.epoch();
    return epoch !== undefined && this.#leading?.epoch === epoch ? epoch : undefined;
  }

  /** Calls back when this process begins to lead, and with undefined when that ends. */
  onTerm(listener: (term: Term | undefined) => void): () => void {
    this.#termListeners.add(listener);
    return () => this.#termListeners.delete(listener);
  }

  /** Writes what was put off, while the lease still holds. */
  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    this.#retry?.cancel();
    this.#follower.close();
    this.#former = undefined;
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
    return this.#leading?.ledger ?? this.#former ?? this.#follower;
  }

  #elected(): void {
    const epoch = this.#options.lease.epoch();
    if (this.#leading && this.#leading.epoch !== epoch) {
      const former = this.#leading.ledger;
      this.#leading = undefined;
      this.#former = former;
      for (const listener of this.#termListeners) listener(undefined);
      void this.#catchUp(former);
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
        if (this.#current === ledger) this.#tell(uid);
      });
      const before = this.#current;
      const term = { epoch, ledger, leadership };
      this.#leading = term;
      this.#backoff.reset();
      this.#former = undefined;
      logger.info({ epoch, records: [...ledger.all()].length }, 'every record was read');
      for (const listener of this.#termListeners) listener(term);
      this.#switched(before, ledger);
    } catch (error) {
      logger.error({ err: error, epoch }, 'the records cannot be read, so nothing is decided');
      this.#retry = clock.setTimer(this.#backoff.next(retryAfterOf(error)), () => this.#elected());
    } finally {
      if (this.#reading === epoch) this.#reading = undefined;
    }
  }

  async #catchUp(former: StoredLedger): Promise<void> {
    const { mirror, clock } = this.#options;
    const backoff = new Backoff(RETRY_MS, LONGEST_RETRY_MS);
    while (this.#former === former) {
      try {
        await mirror.refresh();
        if (this.#former !== former) return;
        this.#former = undefined;
        this.#switched(former, this.#follower);
      } catch (error) {
        const pauseMs = backoff.next(retryAfterOf(error));
        await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
      }
    }
  }

  /** While this process leads, nobody else may delete a record; whoever did is not obeyed. */
  #restore(changed: string | undefined): void {
    const ledger = this.#leading?.ledger;
    if (!ledger) return;
    const { mirror } = this.#options;
    if (mirror.problem !== undefined) return;
    const uids = changed === undefined ? [...ledger.all()].map(({ uid }) => uid) : [changed];
    for (const uid of uids) {
      if (ledger.get(uid) && ledger.isStored(uid) && !mirror.shows(uid)) ledger.restore(uid);
    }
  }

  #switched(before: Ledger, after: Ledger): void {
    const uids = new Set([...before.all(), ...after.all()].map(({ uid }) => uid));
    for (const uid of uids) {
      if (before.get(uid) !== after.get(uid)) this.#tell(uid);
    }
  }

  #tell(uid: string): void {
    for (const listener of this.#listeners) listener(uid);
  }
}

// The records as a follower sees them: all there is to read, nothing that could be written.

type RecordMirror = Pick<KubernetesRecordMirror, 'records' | 'record' | 'onChange'>;

class FollowerLedger implements Ledger {
  readonly #mirror: RecordMirror;
  readonly #records = new Map<string, DriverRecord>();
  readonly #index = new RecordIndex((uid) => this.#records.get(uid));
  readonly #listeners = new Set<(uid: string) => void>();
  readonly #stop: () => void;

  constructor(mirror: RecordMirror) {
    this.#mirror = mirror;
    this.#stop = mirror.onChange((uid) =>
      uid === undefined ? this.#followAll() : this.#follow([uid]),
    );
    this.#followAll();
  }

  close(): void {
    this.#stop();
  }

  get(uid: string): DriverRecord | undefined {
    return this.#records.get(uid);
  }

  all(): Iterable<DriverRecord> {
    return this.#records.values();
  }

  bySession(sessionId: string): DriverRecord | undefined {
    return this.#index.bySession(sessionId);
  }

  byNamespace(namespace: string): Iterable<DriverRecord> {
    return this.#index.byNamespace(namespace);
  }

  create(): Promise<void> {
    return Promise.reject(notLeader());
  }

  update(): Promise<DriverRecord> {
    return Promise.reject(notLeader());
  }

  updateLazily(): void {}

  delete(): Promise<void> {
    return Promise.reject(notLeader());
  }

  onChange(listener: (uid: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #followAll(): void {
    const shown = [...this.#mirror.records()].map(({ uid }) => uid);
    this.#follow(new Set([...this.#records.keys(), ...shown]));
  }

  /** Takes over what the mirror shows of these drivers. Listeners see all of it at once. */
  #follow(uids: Iterable<string>): void {
    const changed: string[] = [];
    for (const uid of uids) {
      const before = this.#records.get(uid);
      const record = this.#mirror.record(uid);
      if (before === record) continue;
      if (record) this.#records.set(uid, record);
      else this.#records.delete(uid);
      this.#index.replace(before, record);
      changed.push(uid);
    }
    for (const uid of changed) for (const listener of this.#listeners) listener(uid);
  }
}
