/** The records as a follower sees them: all there is to read, nothing that could be written. */
import type { DriverRecord } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';
import type { KubernetesRecordMirror } from './kubernetes-mirror.js';
import { RecordIndex } from './record-index.js';
import { notLeader } from './record-writer.js';

export class FollowerLedger implements Ledger {
  readonly #mirror: Pick<KubernetesRecordMirror, 'records' | 'onChange'>;
  #records = new Map<string, DriverRecord>();
  readonly #index = new RecordIndex((uid) => this.#records.get(uid));
  readonly #listeners = new Set<(uid: string) => void>();
  readonly #stop: () => void;

  constructor(mirror: Pick<KubernetesRecordMirror, 'records' | 'onChange'>) {
    this.#mirror = mirror;
    this.#stop = mirror.onChange(() => this.#follow());
    this.#follow();
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

  #follow(): void {
    const before = this.#records;
    this.#records = new Map([...this.#mirror.records()].map((record) => [record.uid, record]));
    const changed = new Set<string>();
    for (const [uid, record] of this.#records) {
      if (before.get(uid) === record) continue;
      this.#index.replace(before.get(uid), record);
      changed.add(uid);
    }
    for (const [uid, record] of before) {
      if (this.#records.has(uid)) continue;
      this.#index.replace(record, undefined);
      changed.add(uid);
    }
    for (const uid of changed) for (const listener of this.#listeners) listener(uid);
  }
}
