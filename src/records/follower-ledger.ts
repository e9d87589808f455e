/** The records as a follower sees them: all there is to read, nothing that could be written. */
import type { DriverRecord } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';
import type { KubernetesRecordMirror } from './kubernetes-mirror.js';
import { RecordIndex } from './record-index.js';
import { notLeader } from './record-writer.js';

type RecordMirror = Pick<KubernetesRecordMirror, 'records' | 'record' | 'onChange'>;

export class FollowerLedger implements Ledger {
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
