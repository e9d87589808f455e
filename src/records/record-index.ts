/** Finds records by namespace and by session, kept as records change. */
import type { DriverRecord } from '../model/driver.js';
import { SessionIndex } from './session-index.js';

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
