/** Driver records as JSON files in a folder of their own, for one machine. */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import {
  readTextIfThere,
  replaceStamped,
  stampOf,
  syncFolder,
  unfinishedOf,
} from '../../lib/files/files.js';
import { RecordSchemaError, versionedFile } from '../../lib/json-record.js';
import type { DriverRecord } from '../../model/driver.js';
import type { RecordStore, StoredRecord } from '../../model/ledger.js';
import { changedByAnother, parseDriverRecord } from './record-schema.js';

const FORMAT = 1;
const SUFFIX = '.json';
/** Where files that cannot be read as records are moved, inside the folder. */
const UNREADABLE = 'unreadable';
const READS_AT_ONCE = 32;

/** A file that could not be read as a record and was moved aside. */
export interface UnreadableRecord {
  /** The driver it was the record of, by its file name. */
  readonly uid: string;
  readonly file: string;
}

/**
 * One process at a time (see FileLock) keeps its records here: mode 0600 in a folder of mode 0700.
 * A file that is no record is moved to `unreadable/` and reported, never deleted; a driver whose
 * record is unreadable must take no session, because nobody knows whose memory it holds.
 */
export class FileRecordStore implements RecordStore {
  readonly #folder: string;
  readonly #logger: Logger;
  /** What this process wrote last, by uid. */
  readonly #written = new Map<string, { readonly stamp: string; readonly version: string }>();

  private constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  static async open(folder: string, logger: Logger): Promise<FileRecordStore> {
    await mkdir(join(folder, UNREADABLE), { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    return new FileRecordStore(folder, logger);
  }

  async list(): Promise<readonly StoredRecord[]> {
    const records: StoredRecord[] = [];
    const uids: string[] = [];
    for (const entry of await readdir(this.#folder, { withFileTypes: true })) {
      const uid = uidOf(entry.name);
      if (unfinishedOf(entry.name) !== undefined) {
        await rm(join(this.#folder, entry.name), { force: true });
      } else if (entry.isFile() && uid !== undefined) uids.push(uid);
      else if (entry.name !== UNREADABLE) {
        this.#logger.warn({ file: entry.name }, 'the records folder holds a file of someone else');
      }
    }
    for (let start = 0; start < uids.length; start += READS_AT_ONCE) {
      const batch = uids.slice(start, start + READS_AT_ONCE);
      const found = await Promise.all(batch.map((uid) => this.#readOrMoveAside(uid)));
      records.push(...found.filter((record) => record !== undefined));
    }
    return records;
  }

  async read(uid: string): Promise<StoredRecord | undefined> {
    const text = await readTextIfThere(this.#path(uid));
    return text === undefined ? undefined : parseFile(text, uid);
  }

  async write(record: DriverRecord, version: string | undefined): Promise<string> {
    const { uid } = record;
    const held = await this.#versionOf(uid);
    if (held !== version) throw changedByAnother(uid);
    const next = randomUUID();
    const content = JSON.stringify({ format: FORMAT, version: next, record }, undefined, 2);
    const stamp = await replaceStamped(this.#path(uid), `${content}\n`);
    this.#written.set(uid, { stamp, version: next });
    return next;
  }

  async delete(uid: string, version: string): Promise<void> {
    const held = await this.read(uid);
    if (held && held.version !== version) throw changedByAnother(uid);
    this.#written.delete(uid);
    await rm(this.#path(uid), { force: true });
    await syncFolder(this.#folder);
  }

  /** Every record that was moved aside, at this start or an earlier one, until an operator removes it. */
  async unreadable(): Promise<readonly UnreadableRecord[]> {
    const files = await readdir(join(this.#folder, UNREADABLE));
    return files.flatMap((name) => {
      const uid = uidOf(name.replace(/\.[^.]*$/, ''));
      return uid === undefined ? [] : [{ uid, file: join(this.#folder, UNREADABLE, name) }];
    });
  }

  /** Of the record in the store. A file that is still the one that was written last need not be read. */
  async #versionOf(uid: string): Promise<string | undefined> {
    const written = this.#written.get(uid);
    if (written && (await stampOf(this.#path(uid))) === written.stamp) return written.version;
    return (await this.read(uid))?.version;
  }

  async #readOrMoveAside(uid: string): Promise<StoredRecord | undefined> {
    try {
      return await this.read(uid);
    } catch (error) {
      if (!(error instanceof RecordSchemaError)) throw error;
      const aside = join(this.#folder, UNREADABLE, `${fileName(uid)}.${randomUUID()}`);
      await rename(this.#path(uid), aside);
      this.#logger.error(
        { driver: uid, file: aside, problem: error.message },
        'a driver record cannot be read and was moved aside; its sessions are not known',
      );
      return undefined;
    }
  }

  #path(uid: string): string {
    return join(this.#folder, fileName(uid));
  }
}

function parseFile(text: string, uid: string): StoredRecord {
  const { version, value } = versionedFile(text, FORMAT);
  const parsed = parseDriverRecord(value['record']);
  if (parsed.uid !== uid) throw new RecordSchemaError(`uid is not that of the file, ${uid}`);
  return { record: parsed, version };
}

function fileName(uid: string): string {
  return `${encodeURIComponent(uid)}${SUFFIX}`;
}

function uidOf(name: string): string | undefined {
  if (!name.endsWith(SUFFIX)) return undefined;
  try {
    return decodeURIComponent(name.slice(0, -SUFFIX.length)) || undefined;
  } catch {
    return undefined;
  }
}
