import test from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { ElectedLedger, type Term } from '../../../src/fleet/records/elected-ledger.js';
import { openLedger, type StoredLedger } from '../../../src/fleet/records/ledger.js';
import { withoutSession, withSession } from '../../../src/model/driver-record.js';
import type { DriverRecord } from '../../../src/model/driver.js';
import type { RecordStore, StoredRecord } from '../../../src/model/ledger.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../../support/driver-records.js';
import { TestLeadership } from '../../support/leadership.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { MemoryStore } from '../../support/memory-store.js';
import { tries } from '../../support/tries.js';

// The ledger of who leads.

class FakeLease {
  held: number | undefined;
  readonly #listeners = new Set<(epoch: number | undefined) => void>();

  epoch(): number | undefined {
    return this.held;
  }

  onChange(listener: (epoch: number | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async set(epoch: number | undefined): Promise<void> {
    this.held = epoch;
    for (const listener of this.#listeners) listener(epoch);
    await settle();
  }
}

class FakeMirror {
  shown: readonly DriverRecord[] = [];
  readonly problem: string | undefined = undefined;
  readonly #listeners = new Set<() => void>();

  *records(): Generator<DriverRecord, void> {
    yield* this.shown;
  }

  record(uid: string): DriverRecord | undefined {
    return this.shown.find((record) => record.uid === uid);
  }

  shows(uid: string): boolean {
    return this.record(uid) !== undefined;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What a consistent read would show; undefined while the API server is away. */
  truth: (() => readonly DriverRecord[]) | undefined;

  async refresh(): Promise<void> {
    if (!this.truth) throw new Error('the API server is away');
    this.show(...this.truth());
  }

  show(...records: readonly DriverRecord[]): void {
    this.shown = records;
    for (const listener of this.#listeners) listener();
  }
}

function setUp(...records: readonly DriverRecord[]) {
  const store = new MemoryStore();
  for (const record of records) store.seed(record);
  const lease = new FakeLease();
  const mirror = new FakeMirror();
  mirror.show(...records);
  mirror.truth = () => [...store.records.values()].map(({ record }) => record);
  const clock = new ManualClock(START_MS);
  const logger = pino({ level: 'silent' });
  const ledger = new ElectedLedger({ lease, store, mirror, clock, logger });
  const changed: string[] = [];
  ledger.onChange((uid) => changed.push(uid));
  return { store, lease, mirror, clock, ledger, changed };
}

const addSession = (record: DriverRecord) =>
  withSession(record, sessionRecord(sessionId(1)), START_MS);

test('a follower shows what the leader wrote and writes nothing', async (t) => {
  const { ledger, mirror, changed } = setUp(driverRecord('d1'));
  t.is(ledger.get('d1')?.phase, 'available');
  t.is(ledger.epoch(), undefined);
  await t.throwsAsync(ledger.update('d1', addSession), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  const second = driverRecord('d2');
  mirror.show(addSession(driverRecord('d1')), second);
  t.deepEqual(changed, ['d1', 'd2']);
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  mirror.show(second);
  t.is(ledger.bySession(sessionId(1)), undefined);
  t.deepEqual(changed.slice(2), ['d1']);
});

test('leadership begins when every record was read, not when the lease was won', async (t) => {
  const { ledger, lease, store } = setUp(driverRecord('d1'));
  // The watch is behind: only the store knows of the session.
  store.seed(addSession(driverRecord('d1')));
  const won = lease.set(3);
  t.is(ledger.epoch(), undefined);
  await won;
  t.is(ledger.epoch(), 3);
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
});

test('losing the lease ends leadership at once, and the watch is followed again', async (t) => {
  const { ledger, lease, mirror } = setUp(driverRecord('d1'));
  await lease.set(1);
  await ledger.update('d1', addSession);
  lease.held = undefined;
  t.is(ledger.epoch(), undefined);
  await t.throwsAsync(
    ledger.update('d1', (record) => ({ ...record, reason: 'late' })),
    { code: 'CONTROL_PLANE_UNAVAILABLE' },
  );
  await lease.set(undefined);
  mirror.show(driverRecord('d1', { reason: 'by the other leader' }));
  t.is(ledger.get('d1')?.reason, 'by the other leader');
  await lease.set(4);
  t.is(ledger.epoch(), 4);
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1', 'read from the store again');
});

test('while the store cannot be read nobody leads, and it is tried again', async (t) => {
  const { ledger, lease, store, clock } = setUp(driverRecord('d1'));
  store.readable = false;
  await lease.set(1);
  t.is(ledger.epoch(), undefined);
  t.is(ledger.get('d1')?.uid, 'd1');
  store.readable = true;
  await clock.advance(1_000);
  t.is(ledger.epoch(), 1);
});

test('what was written last is shown until the watch has caught up with it', async (t) => {
  const { ledger, lease, mirror, clock, changed } = setUp(driverRecord('d1'));
  await lease.set(1);
  // The watch does not hear of it, and the API server is away.
  await ledger.update('d1', addSession);
  mirror.truth = undefined;
  changed.length = 0;
  await lease.set(undefined);
  mirror.show(driverRecord('d1'));
  await clock.advance(30_000);
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  t.deepEqual(changed, []);
  mirror.truth = () => [driverRecord('d1', { reason: 'by the other leader' })];
  await clock.advance(8_000);
  t.is(ledger.get('d1')?.reason, 'by the other leader');
  t.deepEqual(changed, ['d1']);
});

test('a term is over for good, even if the same process leads again', async (t) => {
  const { ledger, lease } = setUp(driverRecord('d1'));
  const terms: (Term | undefined)[] = [];
  ledger.onTerm((term) => terms.push(term));
  await lease.set(1);
  await lease.set(undefined);
  await lease.set(3);
  t.deepEqual(
    terms.map((term) => term?.epoch),
    [1, undefined, 3],
  );
  const [first, , second] = terms;
  t.is(first?.leadership.epoch(), undefined);
  await t.throwsAsync(first?.ledger.update('d1', addSession) ?? Promise.resolve(), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
  });
  await second?.ledger.update('d1', addSession);
  t.is(ledger.bySession(sessionId(1))?.epoch, 3);
});

test('a lease that is lost while the records are read begins no term', async (t) => {
  const { ledger, lease } = setUp(driverRecord('d1'));
  const terms: (Term | undefined)[] = [];
  ledger.onTerm((term) => terms.push(term));
  const won = lease.set(1);
  const lost = lease.set(undefined);
  await Promise.all([won, lost]);
  t.deepEqual(terms, []);
  t.is(ledger.epoch(), undefined);
});

test('a record that someone deletes under a leader is written again as it was', async (t) => {
  const used = withSession(driverRecord('d1'), sessionRecord(sessionId(1)), START_MS);
  const { store, lease, mirror, ledger } = setUp(used, driverRecord('d2'));
  await lease.set(1);
  store.records.delete('d1');
  mirror.show(driverRecord('d2'));
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1', 'its session is never unknown');
  await settle();
  await settle();
  t.like(store.records.get('d1')?.record, { phase: 'in_use', tenant: used.tenant });
  t.deepEqual(Object.keys(store.records.get('d1')?.record.sessions ?? {}), [sessionId(1)]);
  await ledger.delete('d2');
  mirror.show(used);
  await settle();
  t.false(store.records.has('d2'), 'what the leader itself deletes stays deleted');
});

test('a change of a record that someone has deleted meanwhile is stored with all of it', async (t) => {
  const used = withSession(driverRecord('d1'), sessionRecord(sessionId(1)), START_MS);
  const { store, lease, ledger } = setUp(used);
  await lease.set(1);
  store.records.delete('d1');
  await ledger.update('d1', (record) => withSession(record, sessionRecord(sessionId(2)), START_MS));
  t.deepEqual(Object.keys(store.records.get('d1')?.record.sessions ?? {}), [
    sessionId(1),
    sessionId(2),
  ]);
});

// Two that take themselves for the leader.

const logger = pino({ level: 'silent' });
const clock = new ManualClock(START_MS);

/** One leader's way to the shared store; what it has sent may arrive much later. */
class SlowWay implements RecordStore {
  readonly #store: RecordStore;
  #underWay: (() => void)[] = [];
  slow = false;

  constructor(store: RecordStore) {
    this.#store = store;
  }

  list(): Promise<readonly StoredRecord[]> {
    return this.#store.list();
  }

  read(uid: string): Promise<StoredRecord | undefined> {
    return this.#store.read(uid);
  }

  async write(record: DriverRecord, version: string | undefined): Promise<string> {
    await this.#travel();
    return this.#store.write(record, version);
  }

  async delete(uid: string, version: string): Promise<void> {
    await this.#travel();
    return this.#store.delete(uid, version);
  }

  arrive(): void {
    const underWay = this.#underWay;
    this.#underWay = [];
    for (const arrived of underWay) arrived();
  }

  async #travel(): Promise<void> {
    if (this.slow) await new Promise<void>((resolve) => this.#underWay.push(resolve));
  }
}

interface Leader {
  readonly leadership: TestLeadership;
  readonly way: SlowWay;
  readonly ledger: StoredLedger;
}

async function elect(store: RecordStore, epoch: number): Promise<Leader> {
  const leadership = new TestLeadership();
  leadership.held = epoch;
  const way = new SlowWay(store);
  const ledger = await openLedger({ store: way, leadership, clock, logger });
  return { leadership, way, ledger };
}

/** The driver that the leader answers with, if it answers: the session's own, else one of those that are free. */
async function ask(
  { ledger, leadership }: Leader,
  id: string,
  pick = 0,
): Promise<string | undefined> {
  if (leadership.epoch() === undefined) return undefined;
  try {
    const found = ledger.bySession(id);
    if (found) {
      const record = await ledger.update(found.uid, (current) => current);
      return Object.hasOwn(record.sessions, id) ? record.uid : undefined;
    }
    const all = [...ledger.all()].filter(({ tenant }) => tenant === undefined);
    const free = all[pick % all.length];
    if (!free) return undefined;
    await ledger.update(free.uid, (record) => withSession(record, sessionRecord(id), START_MS));
    return free.uid;
  } catch {
    return undefined;
  }
}

test('a late write of a former leader is dropped where its successor gave the session another driver', async (t) => {
  const store = new MemoryStore();
  for (const uid of ['d1', 'd2']) store.seed(driverRecord(uid));
  const first = await elect(store, 1);
  first.way.slow = true;
  const unanswered = ask(first, sessionId(1));
  await settle();
  first.leadership.held = undefined;
  const second = await elect(store, 2);
  t.is(await ask(second, sessionId(2)), 'd1');
  t.is(await ask(second, sessionId(1)), 'd2');
  first.way.arrive();
  t.is(await unanswered, undefined);

  const late = store.records.get('d1')?.record;
  t.deepEqual(Object.keys(late?.sessions ?? {}), [sessionId(2)], 'it was refused');
  store.seed(withSession(driverRecord('d3', { epoch: 1 }), sessionRecord(sessionId(1)), START_MS));
  const third = await elect(store, 3);
  t.is(await ask(third, sessionId(1)), 'd2');
  t.deepEqual(third.ledger.get('d3')?.sessions, {});
});

const stepOf = (...actions: string[]) =>
  fc.record({ do: fc.constantFrom(...actions), n: fc.nat(4), pick: fc.nat(5) });
const step = fc.oneof(
  { weight: 6, arbitrary: stepOf('ask') },
  { weight: 2, arbitrary: stepOf('end') },
  { weight: 4, arbitrary: stepOf('slow', 'fast', 'arrive') },
  { weight: 2, arbitrary: stepOf('elect') },
);

test('however late writes of former leaders arrive, no driver has two sessions and no session two drivers', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const store = new MemoryStore();
      for (let n = 0; n < 6; n += 1) store.seed(driverRecord(`d${n}`));
      const leaders = [await elect(store, 1)];
      const driverOf = new Map<string, string>();
      const sessionOf = new Map<string, string>();
      const ended = new Set<string>();
      const underWay: Promise<void>[] = [];
      const answered = (id: string, uid: string | undefined, wasEnded: boolean) => {
        if (uid === undefined) return;
        t.false(wasEnded, 'an ended session came back');
        t.is(driverOf.get(id) ?? uid, uid, 'one session, two drivers');
        t.is(sessionOf.get(uid) ?? id, id, 'one driver, two sessions');
        driverOf.set(id, uid);
        sessionOf.set(uid, id);
      };
      for (const { do: action, n, pick } of steps) {
        const id = sessionId(n);
        const newest = leaders.at(-1);
        const any = leaders[n % leaders.length];
        if (!newest || !any) continue;
        if (action === 'ask') {
          const wasEnded = ended.has(id);
          underWay.push(ask(newest, id, pick).then((uid) => answered(id, uid, wasEnded)));
        } else if (action === 'end') {
          const uid = newest.ledger.bySession(id)?.uid;
          if (uid === undefined) continue;
          const end = newest.ledger.update(uid, (record) =>
            withoutSession(record, id, 'released', START_MS),
          );
          underWay.push(
            end.then(
              () => void ended.add(id),
              () => undefined,
            ),
          );
        } else if (action === 'slow') any.way.slow = true;
        else if (action === 'fast') any.way.slow = false;
        else if (action === 'arrive') any.way.arrive();
        else {
          newest.leadership.held = undefined;
          leaders.push(await elect(store, leaders.length + 1));
        }
        await settle();
      }
      for (const leader of leaders) {
        leader.way.slow = false;
        for (let turn = 0; turn < 5; turn += 1) {
          leader.way.arrive();
          await settle();
        }
      }
      await clock.advance(2_000);
      await Promise.all(underWay);
      const last = await elect(store, leaders.length + 1);
      for (const id of driverOf.keys()) {
        answered(id, await ask(last, id), ended.has(id));
      }
    }),
    { numRuns: tries(200) },
  );
});
