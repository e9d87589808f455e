/** Where job records are kept: files on one machine, custom resources on Kubernetes. */
import { GatewayError } from '../../model/errors.js';
import type { JobRecord } from './job-record.js';

export interface StoredJob {
  readonly record: JobRecord;
  readonly version: string;
}

/** Something under a job's id that is no record that this release can read. It is left as it is. */
export interface UnreadableJob {
  readonly id: string;
  /** What is wrong with it, and where it is. */
  readonly problem: string;
}

export interface JobStore {
  /** Every record, some at a time. */
  list(): AsyncIterable<StoredJob | UnreadableJob>;
  /** A fresh, consistent read; undefined when there surely is none. Rejects with RecordSchemaError for what is no record. */
  read(id: string): Promise<StoredJob | undefined>;
  /**
   * Writes durably. `version` is the one last seen, or undefined for a new record; a mismatch rejects
   * with RECORD_CONFLICT and writes nothing. Resolves with the new version. Any other rejection leaves
   * open whether it was written; a `read` begun after it tells for good.
   */
  write(record: JobRecord, version: string | undefined): Promise<string>;
  /** Deletes the record, if it still is at `version`, and its log. RECORD_CONFLICT as above. */
  delete(id: string, version: string): Promise<void>;
  /** What was kept of a job's log, as `writeLog` was given it; undefined: nothing. */
  readLog(id: string): Promise<Uint8Array | undefined>;
  /** In place of what was kept before. Ends with the record. */
  writeLog(id: string, log: Uint8Array): Promise<void>;
  /** Calls back with the id and version of records that may have changed; version undefined: it is gone. Returns what ends it. */
  watch?(changed: (id: string, version: string | undefined) => void): () => void;
}

export function isUnreadable(entry: StoredJob | UnreadableJob): entry is UnreadableJob {
  return 'problem' in entry;
}

/** A store's answer to a write or a deletion whose version is not the stored record's. */
export function jobChangedByAnother(id: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'RECORD_CONFLICT',
    `The record of job ${id} was changed by someone else.`,
    cause === undefined ? {} : { cause },
  );
}
