/** Changes to a driver record, as functions from record to record. */
import type { DriverPhase, DriverRecord, SessionEnd, SessionRecord } from './driver.js';
import { samePrincipal } from './principal.js';

export function withPhase(
  record: DriverRecord,
  phase: DriverPhase,
  nowMs: number,
  reason?: string,
): DriverRecord {
  if (record.phase === phase && record.reason === reason) return record;
  const { reason: _, ...rest } = record;
  return {
    ...rest,
    phase,
    phaseSinceMs: record.phase === phase ? record.phaseSinceMs : nowMs,
    ...(reason === undefined ? {} : { reason }),
  };
}

/** Adds a session, which takes an `available` driver into use and makes its principal the tenant. */
export function withSession(
  record: DriverRecord,
  session: SessionRecord,
  nowMs: number,
): DriverRecord {
  const added: DriverRecord = {
    ...record,
    sessions: { ...record.sessions, [session.sessionId]: session },
    tenant: tenantWith(record.tenant, session),
  };
  return record.phase === 'available' ? withPhase(added, 'in_use', nowMs) : added;
}

function tenantWith(
  tenant: DriverRecord['tenant'],
  session: SessionRecord,
): NonNullable<DriverRecord['tenant']> {
  if (!tenant) return { principal: session.principal, team: session.team };
  if (samePrincipal(tenant.principal, session.principal)) return tenant;
  return { ...tenant, shared: true };
}

/** Ends one session and leaves a tombstone. The phase is left to the pool. */
export function withoutSession(
  record: DriverRecord,
  sessionId: string,
  end: SessionEnd,
  nowMs: number,
): DriverRecord {
  if (!Object.hasOwn(record.sessions, sessionId)) return record;
  return withEnded(record, [sessionId], end, nowMs);
}

/** The driver has surely ended: so have all its sessions. */
export function asGone(record: DriverRecord, nowMs: number, reason: string): DriverRecord {
  if (record.phase === 'gone') return record;
  const ended = withEnded(record, Object.keys(record.sessions), 'driver_gone', nowMs);
  return withPhase(ended, 'gone', nowMs, reason);
}

function withEnded(
  record: DriverRecord,
  sessionIds: readonly string[],
  end: SessionEnd,
  endedAtMs: number,
): DriverRecord {
  if (sessionIds.length === 0) return record;
  const sessions = { ...record.sessions };
  const tombstones = { ...record.tombstones };
  for (const sessionId of sessionIds) {
    const session = sessions[sessionId];
    if (!session) continue;
    const { principal } = session;
    tombstones[sessionId] = { sessionId, principal, namespace: record.namespace, endedAtMs, end };
    delete sessions[sessionId];
  }
  return { ...record, sessions, tombstones };
}

/** Drops the oldest tombstones beyond `most`, but none that is younger than `ttlMs`. */
export function withFewerTombstones(
  record: DriverRecord,
  nowMs: number,
  ttlMs: number,
  most: number,
): DriverRecord {
  const tombstones = Object.entries(record.tombstones);
  if (tombstones.length <= most) return record;
  const newestFirst = tombstones.toSorted(([, a], [, b]) => b.endedAtMs - a.endedAtMs);
  const kept = newestFirst.filter(
    ([, { endedAtMs }], rank) => rank < most || nowMs - endedAtMs < ttlMs,
  );
  if (kept.length === tombstones.length) return record;
  return { ...record, tombstones: Object.fromEntries(kept) };
}

/** Drops tombstones older than `ttlMs`. */
export function withoutOldTombstones(
  record: DriverRecord,
  nowMs: number,
  ttlMs: number,
): DriverRecord {
  const kept = Object.entries(record.tombstones).filter(
    ([, tombstone]) => nowMs - tombstone.endedAtMs < ttlMs,
  );
  if (kept.length === Object.keys(record.tombstones).length) return record;
  return { ...record, tombstones: Object.fromEntries(kept) };
}
