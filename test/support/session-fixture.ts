import { pino } from 'pino';
import type { AssignRequest, SessionActivity } from '../../src/model/assignment.js';
import type { DriverRecord, ObservedDriver } from '../../src/model/driver.js';
import type { PoolStatus } from '../../src/model/pool.js';
import type { Policy, PoolPolicy, QuotaPolicy } from '../../src/model/policy.js';
import { openLedger } from '../../src/fleet/records/ledger.js';
import { SessionAssigner } from '../../src/sessions/session-assigner.js';
import { WaitingRoom } from '../../src/sessions/waiting-room.js';
import { alice, NAMESPACE, START_MS } from './driver-records.js';
import { TestLeadership } from './leadership.js';
import { ManualClock } from './manual-clock.js';
import { MemoryStore } from './memory-store.js';

const pool: PoolPolicy = {
  size: 2,
  maximum: 4,
  sessionsPerDriver: 1,
  sharing: 'principal',
  afterUse: 'replace',
  idleTtlMs: undefined,
  startTimeoutMs: 300_000,
};

/** A policy with one pool in every namespace that begins with `sjns-`. */
export function testPolicy(
  fields: Partial<PoolPolicy> = {},
  quotas: Partial<QuotaPolicy> = {},
): Policy {
  return {
    version: 'test',
    leases: true,
    issuers: [],
    target: () => ({ team: 'ads', environment: 'dev', namespace: NAMESPACE }),
    refuseUse: () => undefined,
    refuseUserId: () => undefined,
    service: () => undefined,
    administration: () => 'none',
    services: [],
    refuseConfig: () => undefined,
    explain: () => {
      throw new TypeError('this policy explains nothing');
    },
    sourceNetwork: () => undefined,
    pool: (namespace) => (namespace.startsWith('sjns-') ? { ...pool, ...fields } : undefined),
    warmNamespaces: [],
    quotas: () => ({
      sessionsPerPrincipal: undefined,
      sessionsPerTeam: undefined,
      sessionsPerNamespace: undefined,
      ...quotas,
    }),
  };
}

/** What discovery says of a record's driver while it is well. */
export function observedDriver(
  record: DriverRecord,
  fields: Partial<ObservedDriver> = {},
): ObservedDriver {
  const { uid, instance, namespace, address, port } = record;
  const token = `token-of-${uid}`;
  const base = { uid, instance, namespace, address, port, token, fenced: true };
  return { ...base, condition: 'ready', ...fields };
}

/** As authz asks for a session of alice's. */
export function assignRequest(sessionId: string): AssignRequest {
  return {
    sessionId,
    principal: alice,
    userId: 'alice',
    team: 'ads',
    environment: 'dev',
    namespace: NAMESPACE,
    mayCreate: true,
    holdMs: 60_000,
    method: 'Config',
  };
}

/** A ledger and an assigner over a store in memory, with everything around them in the test's hands. */
export async function sessionFixture(
  records: readonly DriverRecord[] = [],
  { store = new MemoryStore(), clock = new ManualClock(START_MS) } = {},
) {
  for (const record of records) store.seed(record);
  const leadership = new TestLeadership();
  const logger = pino({ level: 'silent' });
  const ledger = await openLedger({ store, leadership, clock, logger });
  const observations = new Map<string, ObservedDriver>();
  for (const record of ledger.all()) observations.set(record.uid, observedDriver(record));
  const waitingRoom = new WaitingRoom(clock);
  const world = { policy: testPolicy(), events: [] as SessionActivity[], busy: new Set<string>() };
  const status: { -readonly [K in keyof PoolStatus]: PoolStatus[K] } = {
    drivers: 0,
    maximum: 4,
    warming: 1,
    failure: undefined,
    retryInMs: undefined,
  };
  /** Of variants of the pool; the others have `status`. */
  const statusOf = new Map<string, PoolStatus>();
  const assigner = new SessionAssigner({
    ledger,
    leadership,
    observations,
    policy: () => world.policy,
    poolStatus: { status: ({ variant = '' }) => statusOf.get(variant) ?? status },
    waitingRoom,
    activity: {
      activity: (events) => void world.events.push(...events),
      hasOpenStream: (id) => world.busy.has(id),
      lastActiveMs: ({ lastActiveMs }) => lastActiveMs,
    },
    clock,
    logger,
    cacheTtlMs: 600_000,
  });
  const assign = (
    sessionId: string,
    fields: Partial<AssignRequest> = {},
    signal: AbortSignal = new AbortController().signal,
  ) => assigner.assign({ ...assignRequest(sessionId), ...fields }, signal);
  /** A new driver appears in the records and in discovery. */
  const addDriver = async (record: DriverRecord) => {
    observations.set(record.uid, observedDriver(record));
    await ledger.create(record);
  };
  return {
    store,
    clock,
    leadership,
    logger,
    ledger,
    observations,
    waitingRoom,
    world,
    status,
    statusOf,
    assigner,
    assign,
    addDriver,
  };
}
