import test from 'ava';
import { pino } from 'pino';
import { withSession } from '../../../src/model/driver-record.js';
import type { DriverRecord } from '../../../src/model/driver.js';
import { ElectedLedger, type Term } from '../../../src/fleet/records/elected-ledger.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../../support/driver-records.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { MemoryStore } from '../../support/memory-store.js';

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
