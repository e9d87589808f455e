import type { DriverRecord } from '../../src/model/driver.js';
import { GatewayError } from '../../src/model/errors.js';
import type { RecordStore, StoredRecord } from '../../src/model/ledger.js';

/**
 * How the next write or delete goes: `lost` fails before anything is stored; `unanswered` stores it
 * and then fails all the same.
 */
export type Outcome = 'ok' | 'lost' | 'unanswered';

/** A RecordStore in memory whose failures and pace a test decides. */
export class MemoryStore implements RecordStore {
  readonly records = new Map<string, StoredRecord>();
  /** Outcomes of the next writes and deletes; 'ok' when empty. */
  readonly outcomes: Outcome[] = [];
  readable = true;
  writes = 0;
  /** Called with each record as it is stored. */
  onStored: (record: DriverRecord) => void = () => {};
  #version = 0;
  #gate: Promise<void> | undefined;
  #open: (() => void) | undefined;

  /** Writes and deletes wait until `resume`. */
  pause(): void {
    this.#gate ??= new Promise((resolve) => (this.#open = resolve));
  }

  resume(): void {
    this.#open?.();
    this.#gate = undefined;
  }

  seed(record: DriverRecord): void {
    this.records.set(record.uid, { record, version: `v${++this.#version}` });
  }

  list(): Promise<readonly StoredRecord[]> {
    if (!this.readable) return Promise.reject(new Error('store cannot be read'));
    return Promise.resolve([...this.records.values()]);
  }

  read(uid: string): Promise<StoredRecord | undefined> {
    if (!this.readable) return Promise.reject(new Error('store cannot be read'));
    return Promise.resolve(this.records.get(uid));
  }

  async write(record: DriverRecord, version: string | undefined): Promise<string> {
    this.writes += 1;
    await this.#gate;
    const outcome = this.outcomes.shift() ?? 'ok';
    if (outcome === 'lost') throw new Error('store failed before the write');
    if (this.records.get(record.uid)?.version !== version) {
      throw new GatewayError('RECORD_CONFLICT', 'changed by someone else');
    }
    const next = `v${++this.#version}`;
    this.records.set(record.uid, { record: structuredClone(record), version: next });
    this.onStored(record);
    if (outcome === 'unanswered') throw new Error('store failed after the write');
    return next;
  }

  async delete(uid: string, version: string): Promise<void> {
    await this.#gate;
    const outcome = this.outcomes.shift() ?? 'ok';
    if (outcome === 'lost') throw new Error('store failed before the delete');
    const held = this.records.get(uid);
    if (held && held.version !== version) {
      throw new GatewayError('RECORD_CONFLICT', 'changed by someone else');
    }
    this.records.delete(uid);
    if (outcome === 'unanswered') throw new Error('store failed after the delete');
  }
}
