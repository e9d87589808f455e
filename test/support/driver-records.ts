import type { DriverRecord, SessionRecord } from '../../src/model/driver.js';
import type { Principal } from '../../src/model/principal.js';

export const START_MS = 1_700_000_000_000;
export const NAMESPACE = 'sjns-ads-dev';

export const alice: Principal = { issuer: 'https://idp.test', subject: 'alice' };
export const bob: Principal = { issuer: 'https://idp.test', subject: 'bob' };

/** The n-th session id of a test, as clients make them: a UUID. */
export function sessionId(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
}

export function driverRecord(uid: string, fields: Partial<DriverRecord> = {}): DriverRecord {
  return {
    uid,
    instance: `${uid}@1`,
    namespace: NAMESPACE,
    address: '192.0.2.2',
    port: 15002,
    phase: 'available',
    createdAtMs: START_MS,
    phaseSinceMs: START_MS,
    sessions: {},
    tombstones: {},
    epoch: 0,
    ...fields,
  };
}

export function sessionRecord(id: string, fields: Partial<SessionRecord> = {}): SessionRecord {
  return {
    sessionId: id,
    principal: alice,
    userId: 'alice',
    team: 'ads',
    environment: 'dev',
    createdAtMs: START_MS,
    lastActiveMs: START_MS,
    ...fields,
  };
}
