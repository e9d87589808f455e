/** Which records hold a session, kept as records change. */
import type { DriverRecord } from '../model/driver.js';

export class SessionIndex {
  /** Nearly always one uid; two when a record that came back from the store names a session again. */
  readonly #uids = new Map<string, readonly string[]>();

  replace(before: DriverRecord | undefined, after: DriverRecord | undefined): void {
    if (before?.sessions === after?.sessions && before?.tombstones === after?.tombstones) return;
    for (const sessionId of sessionsOf(before)) {
      if (before && !(after && holds(after, sessionId))) this.#remove(sessionId, before.uid);
    }
    for (const sessionId of sessionsOf(after)) {
      if (after && !(before && holds(before, sessionId))) this.#add(sessionId, after.uid);
    }
  }

  get(sessionId: string): readonly string[] {
    return this.#uids.get(sessionId) ?? [];
  }

  #add(sessionId: string, uid: string): void {
    const uids = this.get(sessionId);
    if (!uids.includes(uid)) this.#uids.set(sessionId, [...uids, uid]);
  }

  #remove(sessionId: string, uid: string): void {
    const rest = this.get(sessionId).filter((other) => other !== uid);
    if (rest.length > 0) this.#uids.set(sessionId, rest);
    else this.#uids.delete(sessionId);
  }
}

function sessionsOf(record: DriverRecord | undefined): string[] {
  return record ? [...Object.keys(record.sessions), ...Object.keys(record.tombstones)] : [];
}

function holds(record: DriverRecord, sessionId: string): boolean {
  return Object.hasOwn(record.sessions, sessionId) || Object.hasOwn(record.tombstones, sessionId);
}
