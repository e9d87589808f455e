/** Finds records by namespace and by session, kept as records change. */
import type { DriverRecord } from '../../model/driver.js';

export class RecordIndex {
  readonly #get: (uid: string) => DriverRecord | undefined;
  readonly #sessions = new SessionIndex();
  readonly #namespaces = new Map<string, Set<string>>();

  /** `get` answers with a record as it is now. */
  constructor(get: (uid: string) => DriverRecord | undefined) {
    this.#get = get;
  }

  replace(before: DriverRecord | undefined, after: DriverRecord | undefined): void {
    this.#sessions.replace(before, after);
    if (before?.namespace === after?.namespace) return;
    if (before) {
      const uids = this.#namespaces.get(before.namespace);
      uids?.delete(before.uid);
      if (uids?.size === 0) this.#namespaces.delete(before.namespace);
    }
    if (after) {
      const uids = this.#namespaces.get(after.namespace) ?? new Set();
      this.#namespaces.set(after.namespace, uids.add(after.uid));
    }
  }

  bySession(sessionId: string): DriverRecord | undefined {
    const records = this.holders(sessionId);
    return records.find(({ sessions }) => Object.hasOwn(sessions, sessionId)) ?? records[0];
  }

  /** Every record that names the session, alive or ended: nearly always one. */
  holders(sessionId: string): DriverRecord[] {
    const records = this.#sessions.get(sessionId).map((uid) => this.#get(uid));
    return records.filter((record) => record !== undefined);
  }

  *byNamespace(namespace: string): Generator<DriverRecord, void> {
    for (const uid of this.#namespaces.get(namespace) ?? []) {
      const record = this.#get(uid);
      if (record) yield record;
    }
  }
}

// Which records hold a session, kept as records change.

class SessionIndex {
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
