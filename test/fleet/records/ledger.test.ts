import test from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { openLedger } from '../../../src/fleet/records/ledger.js';
import { withoutSession, withPhase, withSession } from '../../../src/model/driver-record.js';
import type { DriverRecord } from '../../../src/model/driver.js';
import {
  driverRecord,
  NAMESPACE,
  sessionId,
  sessionRecord,
  START_MS,
} from '../../support/driver-records.js';
import { TestLeadership } from '../../support/leadership.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { MemoryStore } from '../../support/memory-store.js';
import { tries } from '../../support/tries.js';

// The ledger.

async function setUp(...records: DriverRecord[]) {
  const store = new MemoryStore();
  for (const record of records) store.seed(record);
  const leadership = new TestLeadership();
  const clock = new ManualClock(START_MS);
  const logger = pino({ level: 'silent' });
  const ledger = await openLedger({ store, leadership, clock, logger });
  return { store, leadership, clock, ledger };
}

const addSession = (n: number) => (record: DriverRecord) =>
  withSession(record, sessionRecord(sessionId(n)), START_MS);
const touch = (atMs: number) => (record: DriverRecord) =>
  withPhase(record, 'draining', atMs, `at ${atMs}`);
const stored = (store: MemoryStore, uid: string) => store.records.get(uid)?.record;

test('a change is seen at once and is in the store when it is answered', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  store.pause();
  const done = ledger.update('d1', addSession(1));
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  t.is(ledger.get('d1')?.phase, 'in_use');
  t.deepEqual(stored(store, 'd1')?.sessions, {});
  store.resume();
  t.deepEqual(await done, stored(store, 'd1'));
});

test('changes made while a write is under way go out together in one more', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  store.pause();
  const first = ledger.update('d1', addSession(1));
  await settle();
  const later = [2, 3, 4, 5].map((n) => ledger.update('d1', addSession(n)));
  store.resume();
  await Promise.all([first, ...later]);
  t.is(store.writes, 2);
  t.is(Object.keys(stored(store, 'd1')?.sessions ?? {}).length, 5);
});

test('of many records some are written at a time, and the others as they are at their turn', async (t) => {
  const records = Array.from({ length: 200 }, (_, n) => driverRecord(`d${n}`));
  const { store, ledger } = await setUp(...records);
  store.pause();
  const first = records.map(({ uid }, n) => ledger.update(uid, addSession(n)));
  await settle();
  t.is(store.writes, 32);
  const second = records.map(({ uid }, n) => ledger.update(uid, addSession(n + 1_000)));
  store.resume();
  await Promise.all([...first, ...second]);
  t.is(store.writes, 200 + 32);
  t.true(records.every(({ uid }) => Object.keys(stored(store, uid)?.sessions ?? {}).length === 2));
});

test('a write whose turn comes after leadership has ended is not made', async (t) => {
  const records = Array.from({ length: 40 }, (_, n) => driverRecord(`d${n}`));
  const { store, leadership, ledger } = await setUp(...records);
  store.pause();
  const done = records.map(({ uid }, n) => ledger.update(uid, addSession(n)));
  await settle();
  leadership.held = undefined;
  store.resume();
  const outcomes = await Promise.allSettled(done);
  t.true(outcomes.every(({ status }) => status === 'rejected'));
  t.is(store.writes, 32);
  t.deepEqual(ledger.get('d39')?.sessions, {});
});

test('a reader that changes nothing still waits for the changes before it', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  store.pause();
  const write = ledger.update('d1', addSession(1));
  await settle();
  let settledFirst = '';
  const read = ledger.update('d1', (record) => record).then(() => (settledFirst ||= 'read'));
  const watched = write.then(() => (settledFirst ||= 'write'));
  await settle();
  t.is(settledFirst, '');
  store.resume();
  await Promise.all([read, watched]);
  t.is(settledFirst, 'write');
  t.is(store.writes, 1);
});

test('a write that failed is taken back and everyone who waited for it is told', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  const seen: (string | undefined)[] = [];
  ledger.onChange((uid) => seen.push(ledger.get(uid)?.phase));
  store.outcomes.push('lost');
  store.pause();
  const first = ledger.update('d1', addSession(1));
  await settle();
  const second = ledger.update('d1', addSession(2));
  store.resume();
  for (const change of [first, second]) {
    await t.throwsAsync(change, { code: 'CONTROL_PLANE_UNAVAILABLE' });
  }
  t.is(ledger.bySession(sessionId(1)), undefined);
  t.is(ledger.bySession(sessionId(2)), undefined);
  t.deepEqual(seen, ['in_use', 'in_use', 'available']);
  await ledger.update('d1', addSession(3));
  t.deepEqual(Object.keys(stored(store, 'd1')?.sessions ?? {}), [sessionId(3)]);
});

test('a change made on hearing of a failed write is a new one, and is stored', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  let next: Promise<DriverRecord> | undefined;
  ledger.onChange(() => {
    if (ledger.get('d1')?.phase === 'available') next ??= ledger.update('d1', addSession(2));
  });
  store.outcomes.push('lost');
  await t.throwsAsync(ledger.update('d1', addSession(1)), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  await next;
  t.deepEqual(Object.keys(stored(store, 'd1')?.sessions ?? {}), [sessionId(2)]);
});

test('a write whose answer was lost counts when the store turns out to hold it', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  store.outcomes.push('unanswered');
  await ledger.update('d1', addSession(1));
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  await ledger.update('d1', addSession(2));
  t.is(Object.keys(stored(store, 'd1')?.sessions ?? {}).length, 2);
});

test('a record in doubt answers nobody and shows the change until the store can be read', async (t) => {
  const { store, ledger, clock } = await setUp(driverRecord('d1'));
  store.outcomes.push('lost');
  store.readable = false;
  const unavailable = { code: 'CONTROL_PLANE_UNAVAILABLE' };
  await t.throwsAsync(ledger.update('d1', addSession(1)), unavailable);
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  await t.throwsAsync(
    ledger.update('d1', (record) => record),
    unavailable,
  );
  await t.throwsAsync(ledger.update('d1', addSession(2)), unavailable);
  await clock.advance(5000);
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  store.readable = true;
  await clock.advance(8000);
  t.is(ledger.bySession(sessionId(1)), undefined);
  await ledger.update('d1', addSession(2));
  t.truthy(stored(store, 'd1')?.sessions[sessionId(2)]);
});

test("another writer's change wins over ours", async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  store.seed(addSession(7)(driverRecord('d1', { epoch: 9 })));
  await t.throwsAsync(ledger.update('d1', addSession(1)), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  t.is(ledger.bySession(sessionId(1)), undefined);
  t.is(ledger.bySession(sessionId(7))?.uid, 'd1');
});

test('without leadership nothing changes, and what was lost on the way is not answered', async (t) => {
  const { store, ledger, leadership } = await setUp(driverRecord('d1'));
  store.pause();
  const write = ledger.update('d1', addSession(1));
  await settle();
  leadership.held = undefined;
  store.resume();
  const unavailable = { code: 'CONTROL_PLANE_UNAVAILABLE' };
  await t.throwsAsync(write, unavailable);
  await t.throwsAsync(ledger.update('d1', addSession(2)), unavailable);
  await t.throwsAsync(
    ledger.update('d1', (record) => record),
    unavailable,
  );
  await t.throwsAsync(ledger.create(driverRecord('d2')), unavailable);
  t.is(store.records.size, 1);
});

test('each record carries the epoch of the leader that wrote it', async (t) => {
  const { store, ledger, leadership } = await setUp();
  leadership.held = 41;
  await ledger.create(driverRecord('d1'));
  t.is(stored(store, 'd1')?.epoch, 41);
});

test('activity is written in batches: after ten seconds, with another change, or on close', async (t) => {
  const { store, ledger, clock } = await setUp(driverRecord('d1'), driverRecord('d2'));
  for (let n = 1; n <= 50; n += 1) ledger.updateLazily('d1', touch(n));
  await clock.advance(9999);
  t.is(store.writes, 0);
  await clock.advance(1);
  t.is(store.writes, 1);
  t.is(stored(store, 'd1')?.reason, 'at 50');
  ledger.updateLazily('d2', touch(60));
  await ledger.close();
  t.is(stored(store, 'd2')?.reason, 'at 60');
  t.is(store.writes, 2);
});

test('records are found by session, alive or ended, and by namespace', async (t) => {
  const { ledger } = await setUp(driverRecord('d1'), driverRecord('d2', { namespace: 'other' }));
  const uids = () => Array.from(ledger.byNamespace(NAMESPACE), (record) => record.uid);
  t.deepEqual(uids(), ['d1']);
  await ledger.update('d1', addSession(1));
  await ledger.update('d1', (record) => withoutSession(record, sessionId(1), 'released', START_MS));
  t.is(ledger.bySession(sessionId(1))?.tombstones[sessionId(1)]?.end, 'released');
  await ledger.create(driverRecord('d3'));
  t.deepEqual(uids(), ['d1', 'd3']);
  await ledger.delete('d1');
  t.deepEqual(uids(), ['d3']);
  t.is(ledger.bySession(sessionId(1)), undefined);
  t.is(ledger.bySession('constructor'), undefined);
});

test('a deletion that failed brings the record back', async (t) => {
  const { store, ledger } = await setUp(addSession(1)(driverRecord('d1')));
  store.outcomes.push('lost', 'unanswered');
  await t.throwsAsync(ledger.delete('d1'), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  t.is(ledger.bySession(sessionId(1))?.uid, 'd1');
  await ledger.delete('d1');
  t.is(ledger.get('d1'), undefined);
  t.is(store.records.size, 0);
});

test('a record may be made again while its deletion is under way', async (t) => {
  const { store, ledger } = await setUp(driverRecord('d1'));
  store.pause();
  const deleted = ledger.delete('d1');
  await settle();
  const created = ledger.create(driverRecord('d1', { instance: 'second' }));
  await t.throwsAsync(ledger.create(driverRecord('d1')), { code: 'RECORD_CONFLICT' });
  store.resume();
  await Promise.all([deleted, created]);
  t.is(ledger.get('d1')?.instance, 'second');
  t.is(stored(store, 'd1')?.instance, 'second');
});

test('a listener that fails disturbs nobody', async (t) => {
  const { ledger } = await setUp(driverRecord('d1'));
  const seen: string[] = [];
  ledger.onChange(() => {
    throw new Error('listener failed');
  });
  const stop = ledger.onChange((uid) => seen.push(uid));
  await ledger.update('d1', addSession(1));
  stop();
  await ledger.update('d1', addSession(2));
  t.deepEqual(seen, ['d1']);
});

// The ledger beside a model of it.

const uids = ['d1', 'd2'];
const step = fc.oneof(
  fc.record({ do: fc.constant('add'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('end'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('lazy'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('create'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('delete'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({
    do: fc.constantFrom('pause', 'resume', 'lost', 'unanswered', 'unreadable', 'readable'),
    uid: fc.constantFrom(...uids),
    n: fc.nat(5),
  }),
  fc.record({ do: fc.constant('advance'), uid: fc.constantFrom(...uids), n: fc.nat(20) }),
);

test('whatever fails and in whatever order, an answered change is in the store and memory ends as the store', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const store = new MemoryStore();
      for (const uid of uids) store.seed(driverRecord(uid));
      const clock = new ManualClock(START_MS);
      const ledger = await openLedger({
        store,
        clock,
        leadership: new TestLeadership(),
        logger: pino({ level: 'silent' }),
      });
      const answers: Promise<void>[] = [];
      const lost: string[] = [];
      for (const { do: action, uid, n } of steps) {
        const id = sessionId(n);
        if (action === 'add' && ledger.get(uid)) {
          const change = ledger.update(uid, (record) =>
            withSession(record, sessionRecord(id), START_MS),
          );
          answers.push(
            change.then(
              () => {
                const shown = ledger.get(uid)?.sessions;
                const kept = store.records.get(uid)?.record.sessions;
                if (shown && id in shown && !(kept && id in kept)) lost.push(id);
              },
              () => undefined,
            ),
          );
        } else if (action === 'end') {
          const ended = ledger.update(uid, (record) =>
            withoutSession(record, id, 'released', START_MS),
          );
          answers.push(
            ended.then(
              () => undefined,
              () => undefined,
            ),
          );
        } else if (action === 'lazy') {
          ledger.updateLazily(uid, (record) => ({ ...record, reason: `lazy ${n}` }));
        } else if (action === 'create') {
          answers.push(ledger.create(driverRecord(uid)).catch(() => undefined));
        } else if (action === 'delete') {
          answers.push(ledger.delete(uid).catch(() => undefined));
        } else if (action === 'pause') store.pause();
        else if (action === 'resume') store.resume();
        else if (action === 'lost' || action === 'unanswered') store.outcomes.push(action);
        else if (action === 'unreadable') store.readable = false;
        else if (action === 'readable') store.readable = true;
        else await clock.advance(n * 1000);
        if (n % 2 === 0) await settle();
      }
      store.resume();
      store.readable = true;
      store.outcomes.length = 0;
      // The longest pause before a record in doubt is read again.
      await clock.advance(8_000);
      await ledger.close();
      await Promise.all(answers);
      t.deepEqual(lost, []);
      const held = Array.from(ledger.all(), (record) => [record.uid, record]);
      t.deepEqual(
        Object.fromEntries(held),
        Object.fromEntries([...store.records].map(([uid, { record }]) => [uid, record])),
      );
      for (const record of ledger.all()) {
        for (const id of [...Object.keys(record.sessions), ...Object.keys(record.tombstones)]) {
          const found = ledger.bySession(id);
          t.true(found && (id in found.sessions || id in found.tombstones));
        }
      }
      for (let n = 0; n <= 5; n += 1) {
        const found = ledger.bySession(sessionId(n));
        if (found) t.true(sessionId(n) in found.sessions || sessionId(n) in found.tombstones);
      }
    }),
    { numRuns: tries(200) },
  );
});
