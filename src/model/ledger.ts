import type { DriverRecord } from './driver.js';

/** Where driver records are kept: files on one machine, custom resources on Kubernetes. */
export interface RecordStore {
  list(): Promise<readonly StoredRecord[]>;
  /** A fresh, consistent read of one record; undefined when there surely is none. */
  read(uid: string): Promise<StoredRecord | undefined>;
  /**
   * Writes the record durably. `version` is the one last seen, or undefined for a new record; a
   * mismatch rejects with RECORD_CONFLICT and writes nothing. Resolves with the new version. Any
   * other rejection leaves open whether it was written; a `read` begun after it tells for good, so a
   * store whose request may still be on its way settles that first.
   */
  write(record: DriverRecord, version: string | undefined): Promise<string>;
  /**
   * Deletes the record if it still is at `version`; a record that is gone already is no error. A
   * mismatch rejects with RECORD_CONFLICT and deletes nothing.
   */
  delete(uid: string, version: string): Promise<void>;
}

export interface StoredRecord {
  readonly record: DriverRecord;
  readonly version: string;
}

/**
 * The leader's copy of every driver record, written through to the store.
 * A change is visible to the next synchronous reader at once, so two callers can never take the same
 * place, and is answered to the outside only after the returned promise has resolved (durable).
 */
export interface Ledger {
  get(uid: string): DriverRecord | undefined;
  all(): Iterable<DriverRecord>;
  /** The record that holds this session, live or as a tombstone. */
  bySession(sessionId: string): DriverRecord | undefined;
  byNamespace(namespace: string): Iterable<DriverRecord>;
  create(record: DriverRecord): Promise<void>;
  /**
   * Applies `change` to the record now and resolves with the durable result. When the write fails,
   * the record goes back to what the store holds and the promise rejects with
   * CONTROL_PLANE_UNAVAILABLE, as it does at once without leadership or while a record is in doubt.
   * `change` returning its argument is no write, but still waits for the changes before it: a caller
   * that answers from a record it did not change calls `update(uid, (record) => record)` first.
   */
  update(uid: string, change: (record: DriverRecord) => DriverRecord): Promise<DriverRecord>;
  /** As `update`, but may be written later together with others (activity). Without leadership it does nothing. */
  updateLazily(uid: string, change: (record: DriverRecord) => DriverRecord): void;
  delete(uid: string): Promise<void>;
  /** Calls back after every change, with the uid. Returns a function that ends it. */
  onChange(listener: (uid: string) => void): () => void;
}

/** Whether this process may write, and under which epoch. */
export interface Leadership {
  /** The epoch held now, or undefined for a follower. */
  epoch(): number | undefined;
}
