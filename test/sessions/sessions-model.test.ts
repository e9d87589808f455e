import test from 'ava';
import * as fc from 'fast-check';
import type { Assignment } from '../../src/model/assignment.js';
import { asGone, withPhase } from '../../src/model/driver-record.js';
import type { DriverRecord } from '../../src/model/driver.js';
import type { PoolPolicy } from '../../src/model/policy.js';
import { samePrincipal, type Principal } from '../../src/model/principal.js';
import { SessionExpiry } from '../../src/sessions/expiry.js';
import { alice, bob, driverRecord, sessionId, START_MS } from '../support/driver-records.js';
import { ManualClock, settle } from '../support/manual-clock.js';
import { MemoryStore } from '../support/memory-store.js';
import { tries } from '../support/tries.js';
import { sessionFixture, testPolicy } from '../support/session-fixture.js';

const TTL = 60_000;
const TOMBSTONE_TTL = 3 * TTL;
const SESSIONS = 5;

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('assign' as const),
      session: fc.nat(SESSIONS - 1),
      principal: fc.constantFrom(alice, alice, alice, bob),
      holdMs: fc.constantFrom(0, 500, 60_000),
      clone: fc.option(fc.nat(SESSIONS - 1), { freq: 6 }),
      cancels: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constant('release' as const), session: fc.nat(SESSIONS - 1) }),
  fc.record({ do: fc.constant('evict' as const), session: fc.nat(SESSIONS - 1) }),
  fc.record({
    do: fc.constantFrom(
      'gone' as const,
      'recycle' as const,
      'not_ready' as const,
      'ready' as const,
    ),
    driver: fc.nat(7),
  }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('add' as const) }) },
  fc.record({ do: fc.constantFrom('lost' as const, 'unanswered' as const) }),
  fc.record({ do: fc.constantFrom('unreadable' as const, 'readable' as const) }),
  fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const) }),
  fc.record({ do: fc.constantFrom('follow' as const, 'lead' as const, 'restart' as const) }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(1, 1000, TTL / 2, TTL + 5000),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const sharings: Partial<PoolPolicy>[] = [
  { sessionsPerDriver: 1, afterUse: 'replace' },
  { sessionsPerDriver: 1, afterUse: 'reuse' },
  { sessionsPerDriver: 3, afterUse: 'reuse' },
];

/** What was promised to callers, checked against every later promise and against the store. */
class Promises {
  readonly #driverOf = new Map<string, string>();
  readonly #endedAtMs = new Map<string, number>();
  /** Sessions that were ever asked for as clones, which may go over their driver's number. */
  readonly clones = new Set<string>();
  readonly broken: string[] = [];

  answered(assignment: Assignment, store: MemoryStore, nowMs: number): void {
    const { sessionId: id, driverUid: uid, principal } = assignment;
    const record = store.records.get(uid)?.record;
    const stored = record?.sessions[id] ?? record?.tombstones[id];
    if (!stored) this.broken.push(`${id} was answered but is not in the store`);
    else if (!samePrincipal(stored.principal, principal)) this.broken.push(`${id} changed hands`);
    const before = this.#driverOf.get(id);
    const endedMs = this.#endedAtMs.get(id);
    const forgotten = endedMs !== undefined && nowMs - endedMs >= TOMBSTONE_TTL;
    // An answer on its way may be overtaken by an end in the same instant.
    const ended = endedMs !== undefined && nowMs > endedMs;
    if (ended && !forgotten) this.broken.push(`${id} came back after its end`);
    if (before !== undefined && before !== uid && !forgotten) this.broken.push(`${id} moved`);
    this.#driverOf.set(id, uid);
    if (forgotten) this.#endedAtMs.delete(id);
  }

  stored(record: DriverRecord): void {
    for (const { sessionId: id, endedAtMs } of Object.values(record.tombstones)) {
      const beforeMs = this.#endedAtMs.get(id) ?? endedAtMs;
      // A session of the same id after the first was forgotten is another one.
      if (endedAtMs - beforeMs >= TOMBSTONE_TTL) this.#driverOf.delete(id);
      this.#endedAtMs.set(id, Math.max(endedAtMs, beforeMs));
    }
  }

  /** Checks what the store holds: nothing there may contradict what was said. */
  check(store: MemoryStore, pool: Partial<PoolPolicy>): void {
    const live = new Map<string, string>();
    for (const { record } of store.records.values()) {
      const sessions = Object.values(record.sessions);
      for (const session of sessions) {
        if (live.has(session.sessionId)) this.broken.push(`${session.sessionId} is on two drivers`);
        live.set(session.sessionId, record.uid);
        if (record.tenant && !samePrincipal(record.tenant.principal, session.principal)) {
          this.broken.push(`${record.uid} is shared by two principals`);
        }
      }
      const all = [...sessions, ...Object.values(record.tombstones)];
      const owners = new Set(all.map((entry) => entry.principal.subject));
      if (owners.size > 1) this.broken.push(`${record.uid} was given to two principals`);
      const direct = sessions.filter((session) => !this.clones.has(session.sessionId));
      if (direct.length > (pool.sessionsPerDriver ?? 1)) this.broken.push(`${record.uid} overfull`);
    }
  }
}

async function start(store: MemoryStore, clock: ManualClock, pool: Partial<PoolPolicy>) {
  const f = await sessionFixture([], { store, clock });
  f.world.policy = testPolicy(pool);
  const expiry = new SessionExpiry({
    ...f,
    sparkConnect: {
      status: () => Promise.resolve('idle'),
      release: () => Promise.resolve(true),
    },
    sessionTtlMs: TTL,
    tombstoneTtlMs: TOMBSTONE_TTL,
  });
  expiry.start();
  return { ...f, expiry };
}

/** What the pool does with a driver whose sessions have ended. */
function recycled(record: DriverRecord, nowMs: number): DriverRecord {
  if (record.phase !== 'in_use' || Object.keys(record.sessions).length > 0) return record;
  return withPhase(record, 'available', nowMs);
}

const ignore = () => undefined;

async function play(steps: readonly Step[], pool: Partial<PoolPolicy>): Promise<string[]> {
  const store = new MemoryStore();
  const clock = new ManualClock(START_MS);
  const promises = new Promises();
  store.onStored = (record) => promises.stored(record);
  for (const uid of ['d0', 'd1']) store.seed(driverRecord(uid));
  let drivers = 2;
  let world = await start(store, clock, pool);
  const pending: Promise<unknown>[] = [];

  const assign = (s: Extract<Step, { do: 'assign' }>) => {
    const abort = new AbortController();
    if (s.clone !== null) promises.clones.add(sessionId(s.session));
    const fields: { principal: Principal; holdMs: number; cloneOf?: string } = {
      principal: s.principal,
      holdMs: s.holdMs,
      ...(s.clone === null ? {} : { cloneOf: sessionId(s.clone) }),
    };
    const asked = world.assign(sessionId(s.session), fields, abort.signal);
    const seen = (answer: Assignment) => promises.answered(answer, store, clock.now());
    pending.push(asked.then(seen, ignore));
    if (s.cancels) abort.abort();
  };
  const change = (driver: number, how: (record: DriverRecord) => DriverRecord) =>
    pending.push(world.ledger.update(`d${driver % drivers}`, how).catch(ignore));

  for (const s of steps) {
    switch (s.do) {
      case 'assign':
        assign(s);
        break;
      case 'release':
        world.expiry.activity.released(sessionId(s.session), clock.now());
        break;
      case 'evict':
        pending.push(world.expiry.end(sessionId(s.session), 'evicted').catch(ignore));
        break;
      case 'gone':
        change(s.driver, (record) => asGone(record, clock.now(), 'killed'));
        break;
      case 'recycle':
        change(s.driver, (record) => recycled(record, clock.now()));
        break;
      case 'not_ready':
      case 'ready': {
        const seen = world.observations.get(`d${s.driver % drivers}`);
        if (seen) world.observations.set(seen.uid, { ...seen, condition: s.do });
        break;
      }
      case 'add':
        if (drivers < 8) pending.push(world.addDriver(driverRecord(`d${drivers}`)).catch(ignore));
        drivers = Math.min(8, drivers + 1);
        break;
      case 'lost':
      case 'unanswered':
        store.outcomes.push(s.do);
        break;
      case 'unreadable':
      case 'readable':
        store.readable = s.do === 'readable';
        break;
      case 'pause':
        store.pause();
        break;
      case 'resume':
        store.resume();
        break;
      case 'follow':
        world.leadership.held = undefined;
        break;
      case 'lead':
        world.leadership.held = 1;
        break;
      case 'restart':
        // The old process ends with whatever it had under way; only one leads at a time.
        store.resume();
        await settle();
        world.leadership.held = undefined;
        world.expiry.stop();
        store.readable = true;
        world = await start(store, clock, pool);
        break;
      case 'advance':
        await clock.advance(s.ms);
        break;
    }
    await settle();
    promises.check(store, pool);
  }
  store.resume();
  store.readable = true;
  store.outcomes.length = 0;
  world.leadership.held = 1;
  await clock.advance(2 * TTL);
  await Promise.all(pending);
  promises.check(store, pool);
  world.expiry.stop();
  return promises.broken;
}

for (const pool of sharings) {
  const { sessionsPerDriver, afterUse } = pool;
  test(`whatever happens, a session stays on one driver of one owner (${sessionsPerDriver} per driver, ${afterUse})`, async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 20, maxLength: 100, size: 'max' }),
        async (steps) => {
          t.deepEqual(await play(steps, pool), []);
        },
      ),
      { numRuns: tries(100) },
    );
  });
}
