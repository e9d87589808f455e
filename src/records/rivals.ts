/** Records that name the same session, of which the one that a later leader wrote is right. Pure. */
import type { DriverRecord } from '../model/driver.js';

export interface Rival {
  /** The driver whose record named the session without right. */
  readonly uid: string;
  readonly sessionId: string;
}

/**
 * Entries that have to go because of sessions that `after` names and `before` did not. A record's
 * epoch is that of its last writer, and a leader settles rivals as soon as it reads a record, so
 * that only a late write of a former leader can leave a lower one. Records of one epoch are no
 * rivals: no leader gives a session to two drivers.
 */
export function rivalsOf(
  before: DriverRecord | undefined,
  after: DriverRecord | undefined,
  holders: (sessionId: string) => readonly DriverRecord[],
): Rival[] {
  if (!after) return [];
  if (before?.sessions === after.sessions && before.tombstones === after.tombstones) return [];
  const rivals: Rival[] = [];
  for (const sessionId of [...Object.keys(after.sessions), ...Object.keys(after.tombstones)]) {
    if (before && names(before, sessionId)) continue;
    const found = holders(sessionId);
    if (found.length < 2) continue;
    const highest = Math.max(...found.map(({ epoch }) => epoch));
    for (const { uid, epoch } of found) if (epoch < highest) rivals.push({ uid, sessionId });
  }
  return rivals;
}

export function withoutEntries(record: DriverRecord, sessionId: string): DriverRecord {
  if (!names(record, sessionId)) return record;
  const { [sessionId]: _, ...sessions } = record.sessions;
  const { [sessionId]: __, ...tombstones } = record.tombstones;
  return { ...record, sessions, tombstones };
}

function names(record: DriverRecord, sessionId: string): boolean {
  return Object.hasOwn(record.sessions, sessionId) || Object.hasOwn(record.tombstones, sessionId);
}
