/** Job records as JSON files in a folder of their own, for one machine. */
import { RecordSchemaError, versionedFile } from '../../lib/json-record.js';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  readIfThere,
  readTextIfThere,
  replaceFile,
  syncFolder,
  unfinishedOf,
} from '../../lib/files/files.js';
import { decodeJob, encodeJob } from './job-codec.js';
import type { JobRecord } from './job-record.js';
import {
  jobChangedByAnother,
  type JobStore,
  type StoredJob,
  type UnreadableJob,
} from './job-store.js';

const FORMAT = 1;
const SUFFIX = '.json';
const LOG_SUFFIX = '.log.gz';

/** One process at a time, the one that leads, keeps its records here: mode 0600 in a folder of mode 0700. */
export class FileJobStore implements JobStore {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<FileJobStore> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    return new FileJobStore(folder);
  }

  async *list(): AsyncGenerator<StoredJob | UnreadableJob, void> {
    for (const name of await readdir(this.#folder)) {
      if (unfinishedOf(name) !== undefined) await rm(join(this.#folder, name), { force: true });
      if (!name.endsWith(SUFFIX)) continue;
      const id = name.slice(0, -SUFFIX.length);
      try {
        const stored = await this.read(id);
        if (stored) yield stored;
      } catch (error) {
        if (!(error instanceof RecordSchemaError)) throw error;
        yield { id, problem: `${this.#path(id)}: ${error.message}` };
      }
    }
  }

  async read(id: string): Promise<StoredJob | undefined> {
    const text = await readTextIfThere(this.#path(id));
    return text === undefined ? undefined : parseFile(text, id);
  }

  async write(record: JobRecord, version: string | undefined): Promise<string> {
    const { id } = record.job;
    const held = (await this.read(id))?.version;
    if (held !== version) throw jobChangedByAnother(id);
    const next = randomUUID();
    const content = JSON.stringify({ format: FORMAT, version: next, ...encodeJob(record) });
    await replaceFile(this.#path(id), `${content}\n`);
    return next;
  }

  async delete(id: string, version: string): Promise<void> {
    const held = await this.read(id);
    if (held && held.version !== version) throw jobChangedByAnother(id);
    await rm(this.#logPath(id), { force: true });
    await rm(this.#path(id), { force: true });
    await syncFolder(this.#folder);
  }

  readLog(id: string): Promise<Uint8Array | undefined> {
    return readIfThere(this.#logPath(id));
  }

  writeLog(id: string, log: Uint8Array): Promise<void> {
    return replaceFile(this.#logPath(id), log);
  }

  #path(id: string): string {
    return join(this.#folder, `${id}${SUFFIX}`);
  }

  #logPath(id: string): string {
    return join(this.#folder, `${id}${LOG_SUFFIX}`);
  }
}

function parseFile(text: string, id: string): StoredJob {
  const { version, value } = versionedFile(text, FORMAT);
  const record = decodeJob(value);
  if (record.job.id !== id) throw new RecordSchemaError(`job.id is not that of the file, ${id}`);
  return { record, version };
}
