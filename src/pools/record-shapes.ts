/** Tells changes of records that a plan depends on from the others: activity changes records all the time. */
import type { DriverRecord } from '../model/driver.js';
import { hasSessions } from './lifecycle.js';

export class RecordShapes {
  readonly #shapes = new Map<string, string>();

  note(record: DriverRecord): void {
    this.#shapes.set(record.uid, shape(record));
  }

  forget(uid: string): void {
    this.#shapes.delete(uid);
  }

  /** Notes the record, or that there is none, and answers whether that is a reason to look. */
  isNews(uid: string, record: DriverRecord | undefined): boolean {
    const now = record === undefined ? undefined : shape(record);
    if (this.#shapes.get(uid) === now) return false;
    if (now === undefined) this.#shapes.delete(uid);
    else this.#shapes.set(uid, now);
    return true;
  }
}

function shape(record: DriverRecord): string {
  return `${record.phase} ${hasSessions(record)} ${record.address} ${record.drainDeadlineMs}`;
}
