import { decodeJob, encodeJob } from '../../src/batch/records/job-codec.js';
import type { JobRecord } from '../../src/batch/records/job-record.js';
import {
  jobChangedByAnother,
  type JobStore,
  type StoredJob,
  type UnreadableJob,
} from '../../src/batch/records/job-store.js';

/** `lost` fails before anything is stored; `unanswered` stores it and then fails all the same. */
export type StoreOutcome = 'ok' | 'lost' | 'unanswered';

/** A JobStore in memory, shared by those who lead in turn, whose failures a test decides. */
export class MemoryJobStore implements JobStore {
  readonly stored = new Map<string, { readonly json: string; readonly version: string }>();
  readonly logs = new Map<string, Uint8Array>();
  /** Outcomes of the next writes and deletes; 'ok' when empty. */
  readonly outcomes: StoreOutcome[] = [];
  readonly broken: UnreadableJob[] = [];
  readable = true;
  writes = 0;
  #version = 0;

  async *list(): AsyncGenerator<StoredJob | UnreadableJob, void> {
    await this.#mayRead();
    yield* this.broken;
    for (const { json, version } of this.stored.values()) {
      yield { record: decodeJob(JSON.parse(json)), version };
    }
  }

  async read(id: string): Promise<StoredJob | undefined> {
    await this.#mayRead();
    const held = this.stored.get(id);
    return held && { record: decodeJob(JSON.parse(held.json)), version: held.version };
  }

  async write(record: JobRecord, version: string | undefined): Promise<string> {
    await Promise.resolve();
    this.writes += 1;
    const outcome = this.outcomes.shift() ?? 'ok';
    if (outcome === 'lost') throw new Error('the store failed before the write');
    const { id } = record.job;
    if (this.stored.get(id)?.version !== version) throw jobChangedByAnother(id);
    const next = `v${++this.#version}`;
    this.stored.set(id, { json: JSON.stringify(encodeJob(record)), version: next });
    if (outcome === 'unanswered') throw new Error('the store failed after the write');
    return next;
  }

  async delete(id: string, version: string): Promise<void> {
    await Promise.resolve();
    const outcome = this.outcomes.shift() ?? 'ok';
    if (outcome === 'lost') throw new Error('the store failed before the deletion');
    const held = this.stored.get(id);
    if (held && held.version !== version) throw jobChangedByAnother(id);
    this.stored.delete(id);
    this.logs.delete(id);
    if (outcome === 'unanswered') throw new Error('the store failed after the deletion');
  }

  readLog(id: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.logs.get(id));
  }

  writeLog(id: string, log: Uint8Array): Promise<void> {
    this.logs.set(id, log);
    return Promise.resolve();
  }

  /** What is durable now. */
  record(id: string): JobRecord | undefined {
    const held = this.stored.get(id);
    return held && decodeJob(JSON.parse(held.json));
  }

  #mayRead(): Promise<void> {
    return this.readable
      ? Promise.resolve()
      : Promise.reject(new Error('the store cannot be read'));
  }
}
