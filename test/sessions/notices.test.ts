import test from 'ava';
import { asGone, withoutSession, withSession } from '../../src/model/driver-record.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { SidecarNotices, type SidecarConnection, type Notice } from '../../src/sessions/notices.js';
import {
  alice,
  driverRecord,
  sessionId,
  sessionRecord,
  START_MS,
} from '../support/driver-records.js';
import { settle } from '../support/manual-clock.js';
import { sessionFixture } from '../support/session-fixture.js';

const CACHE_TTL = 600_000;

async function setUp(records: readonly DriverRecord[] = [driverRecord('d1'), driverRecord('d2')]) {
  const f = await sessionFixture(records);
  const notices = new SidecarNotices({ ledger: f.ledger, clock: f.clock, cacheTtlMs: CACHE_TTL });
  const add = (uid: string, n: number) =>
    f.ledger.update(uid, (record) => withSession(record, sessionRecord(sessionId(n)), START_MS));
  const end = (uid: string, n: number) =>
    f.ledger.update(uid, (record) => withoutSession(record, sessionId(n), 'expired', START_MS));
  const gone = (uid: string) =>
    f.ledger.update(uid, (record) => asGone(record, START_MS, 'killed'));
  return { ...f, notices, add, end, gone };
}

/** A sidecar on the other end of a stream, as simple as can be. */
class Sidecar {
  readonly id: string;
  readonly received: Notice[] = [];
  wasReplaced = false;
  writable = true;
  report = 0n;
  connection: SidecarConnection | undefined;

  constructor(id: string) {
    this.id = id;
  }

  get last(): Notice | undefined {
    return this.received.at(-1);
  }

  connect(notices: SidecarNotices, applied = this.last?.sequence ?? 0n): this {
    this.connection = notices.connect(this.id, applied, {
      send: (notice) => {
        this.received.push(notice);
        return this.writable;
      },
      replaced: () => (this.wasReplaced = true),
    });
    this.say(applied);
    return this;
  }

  say(applied = this.last?.sequence ?? 0n): void {
    this.connection?.report(applied, (this.report += 1n));
  }
}

test('a sidecar that nobody knows is told to drop everything; its report is acknowledged', async (t) => {
  const { notices } = await setUp();
  const sidecar = new Sidecar('s1').connect(notices);
  t.like(sidecar.last, { reset: true, acknowledgedReport: 1n });
  sidecar.say();
  t.like(sidecar.last, { reset: false, acknowledgedReport: 2n, endedDrivers: [] });
});

test('it is told of each end: a session, a driver that is gone, a record that was removed', async (t) => {
  const { notices, ledger, add, end, gone } = await setUp();
  await add('d1', 1);
  await add('d1', 2);
  const sidecar = new Sidecar('s1').connect(notices);
  await end('d1', 1);
  t.deepEqual(sidecar.last?.endedSessions, [sessionId(1)]);
  t.deepEqual(sidecar.last?.endedDrivers, []);
  await gone('d1');
  t.deepEqual(sidecar.last?.endedDrivers, ['d1']);
  await ledger.delete('d2');
  t.deepEqual(sidecar.last?.endedDrivers, ['d2']);
  const sequences = sidecar.received.map((notice) => notice.sequence);
  t.true(sequences.every((sequence, n) => n === 0 || sequence > (sequences[n - 1] ?? 0n)));
});

test('a driver is forgotten when every connected sidecar has applied its end', async (t) => {
  const { notices, add, gone } = await setUp();
  await add('d1', 1);
  const sidecars = ['s1', 's2'].map((id) => new Sidecar(id).connect(notices));
  for (const sidecar of sidecars) sidecar.say();
  t.false(notices.haveForgotten('d1'));
  let changes = 0;
  notices.onChange(() => (changes += 1));
  await gone('d1');
  t.false(notices.haveForgotten('d1'));
  sidecars[0]?.say();
  t.false(notices.haveForgotten('d1'));
  sidecars[1]?.say();
  t.true(notices.haveForgotten('d1'));
  t.is(changes, 2);
});

test('whoever hears first of an end gets no wrong answer', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  const answers: boolean[] = [];
  f.ledger.onChange(() => answers.push(notices.haveForgotten('d1')));
  const notices = new SidecarNotices({ ledger: f.ledger, clock: f.clock, cacheTtlMs: CACHE_TTL });
  const sidecar = new Sidecar('s1').connect(notices);
  sidecar.say();
  await f.assign(sessionId(1));
  await f.ledger.update('d1', (record) => asGone(record, START_MS, 'killed'));
  t.deepEqual(answers, [false, false]);
});

test('a sidecar that is cut off counts until it has outlived its lease', async (t) => {
  const { notices, clock, add, gone } = await setUp();
  await add('d1', 1);
  const sidecar = new Sidecar('s1').connect(notices);
  sidecar.say();
  await clock.advance(60_000);
  sidecar.say();
  sidecar.connection?.closed();
  await gone('d1');
  // What a sidecar may use does not depend on this machine's wall clock.
  clock.jump(10 * CACHE_TTL);
  await clock.advance(CACHE_TTL - 1);
  t.false(notices.haveForgotten('d1'));
  let changes = 0;
  notices.onChange(() => (changes += 1));
  await clock.advance(1);
  t.true(notices.haveForgotten('d1'));
  t.is(changes, 1);
  t.deepEqual(notices.sidecars(), []);
});

test('a sidecar that comes back is told only what it missed', async (t) => {
  const { notices, add, end, gone } = await setUp();
  await add('d1', 1);
  await add('d1', 2);
  const sidecar = new Sidecar('s1').connect(notices);
  await end('d1', 1);
  sidecar.say();
  sidecar.connection?.closed();
  await end('d1', 2);
  await gone('d2');
  sidecar.connect(notices);
  t.false(sidecar.connection?.unknownPast);
  t.like(sidecar.last, { reset: false });
  t.deepEqual(sidecar.last?.endedSessions, [sessionId(2)]);
  t.deepEqual(sidecar.last?.endedDrivers, ['d2']);
});

test('what was sent but not applied is sent again after a reconnection', async (t) => {
  const { notices, add, end } = await setUp();
  await add('d1', 1);
  const sidecar = new Sidecar('s1').connect(notices);
  sidecar.say();
  const applied = sidecar.last?.sequence;
  await end('d1', 1);
  sidecar.connection?.closed();
  sidecar.connect(notices, applied);
  t.deepEqual(sidecar.last?.endedSessions, [sessionId(1)]);
});

test('a slow sidecar gets the newest state in one notice, however much has ended', async (t) => {
  const { notices, add, end } = await setUp();
  for (let n = 1; n <= 50; n += 1) await add('d1', n);
  const sidecar = new Sidecar('s1').connect(notices);
  sidecar.writable = false;
  for (let n = 1; n <= 50; n += 1) await end('d1', n);
  t.is(sidecar.received.length, 2);
  sidecar.writable = true;
  sidecar.connection?.writable();
  t.is(sidecar.received.length, 3);
  t.is(sidecar.last?.endedSessions.length, 49);
});

test('a sidecar that missed very much is told to drop everything', async (t) => {
  const sessions = Object.fromEntries(
    Array.from({ length: 12_000 }, (_, n) => [sessionId(n), sessionRecord(sessionId(n))]),
  );
  const { notices, gone } = await setUp([driverRecord('d1', { sessions })]);
  const sidecar = new Sidecar('s1').connect(notices);
  sidecar.say();
  await gone('d1');
  t.like(sidecar.last, { reset: true, endedDrivers: [] });
  t.true((sidecar.last?.endedSessions.length ?? 0) < 10_000);
});

test('after a restart, drivers that were assigned before count as cached until every lease has ended', async (t) => {
  const used = withSession(driverRecord('d1'), sessionRecord(sessionId(1)), START_MS);
  const { notices, clock, addDriver, add, gone } = await setUp([used, driverRecord('d2')]);
  await addDriver(driverRecord('d3'));
  await add('d3', 3);
  for (const uid of ['d1', 'd2', 'd3']) await gone(uid);
  t.false(notices.haveForgotten('d1'));
  t.true(notices.haveForgotten('d2'));
  t.true(notices.haveForgotten('d3'));
  await clock.advance(CACHE_TTL);
  t.true(notices.haveForgotten('d1'));
});

test('a sidecar with a past of another control plane is told to drop it', async (t) => {
  const { notices } = await setUp();
  const before = BigInt(START_MS - 60_000) * 1000n;
  const sidecar = new Sidecar('s1').connect(notices, before);
  t.true(sidecar.connection?.unknownPast);
  t.like(sidecar.last, { reset: true });
  // What it says it has applied is no answer to this reset.
  t.false(notices.haveForgotten('d2'));
  sidecar.say();
  t.true(notices.haveForgotten('d2'));
});

test('a newer stream of the same sidecar takes the place of the older', async (t) => {
  const { notices, gone } = await setUp();
  const old = new Sidecar('s1').connect(notices);
  old.say();
  const newer = new Sidecar('s1').connect(notices, old.last?.sequence);
  t.true(old.wasReplaced);
  await gone('d1');
  t.deepEqual(newer.last?.endedDrivers, ['d1']);
  const received = old.received.length;
  old.connection?.closed();
  old.say();
  t.is(old.received.length, received);
  t.like(notices.sidecars()[0], { sidecarId: 's1', connected: true });
});

// Interrupts: events, of which sidecars that are there are told at once.

const interruptOf = (n: number) => ({ sessionId: sessionId(n), principal: alice });

/** Whether it has resolved by now. */
async function isOver(promise: Promise<void>): Promise<boolean> {
  let over = false;
  void promise.then(() => (over = true));
  await settle();
  return over;
}

test('every sidecar is told of an interrupt, which is over when all have applied it', async (t) => {
  const { notices } = await setUp();
  const sidecars = ['s1', 's2'].map((id) => new Sidecar(id).connect(notices));
  for (const sidecar of sidecars) sidecar.say();
  const over = notices.interrupt({ ...interruptOf(1), tag: 'mine' });
  for (const { last } of sidecars) {
    t.deepEqual(last?.interrupts, [{ ...interruptOf(1), tag: 'mine' }]);
    t.like(last, { reset: false, endedSessions: [], endedDrivers: [] });
  }
  t.false(await isOver(over));
  sidecars[0]?.say();
  t.false(await isOver(over));
  sidecars[1]?.say();
  t.true(await isOver(over));
  t.deepEqual(sidecars[0]?.last?.interrupts, [], 'and it is told once');
});

test('without sidecars an interrupt is over at once; one that connects later is not told of it', async (t) => {
  const { notices } = await setUp();
  t.true(await isOver(notices.interrupt(interruptOf(1))));
  const sidecar = new Sidecar('s1').connect(notices);
  t.deepEqual(sidecar.last?.interrupts, []);
});

test('a sidecar that does not answer holds up an interrupt for a second, and none after that', async (t) => {
  const { notices, clock } = await setUp();
  const [quick, slow] = ['s1', 's2'].map((id) => new Sidecar(id).connect(notices));
  const over = notices.interrupt(interruptOf(1));
  quick?.say();
  await clock.advance(999);
  t.false(await isOver(over));
  await clock.advance(1);
  t.true(await isOver(over));
  // It comes back too late: what its client does now must not end by that.
  const applied = slow?.received[0]?.sequence;
  slow?.connection?.closed();
  slow?.connect(notices, applied);
  t.deepEqual(slow?.last?.interrupts, []);
});

test('an interrupt that a slow sidecar could not be sent in time is not sent later', async (t) => {
  const { notices, clock } = await setUp();
  const sidecar = new Sidecar('s1').connect(notices);
  sidecar.say();
  sidecar.writable = false;
  const first = notices.interrupt(interruptOf(1));
  const second = notices.interrupt(interruptOf(2));
  await clock.advance(1_000);
  t.true((await isOver(first)) && (await isOver(second)));
  const sent = sidecar.received.length;
  sidecar.writable = true;
  sidecar.connection?.writable();
  t.deepEqual(sidecar.received.slice(sent), []);
});

test('a sidecar whose stream broke within that second is told again; one that is away from the start is not waited for', async (t) => {
  const { notices } = await setUp();
  const [near, away] = ['s1', 's2'].map((id) => new Sidecar(id).connect(notices));
  for (const sidecar of [near, away]) sidecar?.say();
  away?.connection?.closed();
  const applied = near?.last?.sequence;
  const over = notices.interrupt(interruptOf(1));
  near?.connection?.closed();
  near?.connect(notices, applied);
  t.deepEqual(near?.last?.interrupts, [interruptOf(1)]);
  t.false(await isOver(over));
  near?.say();
  t.true(await isOver(over));
  away?.connect(notices);
  t.deepEqual(away?.last?.interrupts, []);
});

test('interrupts at the same time end each by itself, also where a slow sidecar hears of them together', async (t) => {
  const { notices } = await setUp();
  const [quick, slow] = ['s1', 's2'].map((id) => new Sidecar(id).connect(notices));
  if (!quick || !slow) return;
  for (const sidecar of [quick, slow]) sidecar.say();
  slow.writable = false;
  const first = notices.interrupt(interruptOf(1));
  const second = notices.interrupt(interruptOf(2));
  const third = notices.interrupt(interruptOf(3));
  quick.say();
  t.deepEqual(slow.last?.interrupts, [interruptOf(1)]);
  slow.say();
  t.deepEqual(await Promise.all([first, second, third].map((one) => isOver(one))), [
    true,
    false,
    false,
  ]);
  slow.writable = true;
  slow.connection?.writable();
  t.deepEqual(slow.last?.interrupts, [interruptOf(2), interruptOf(3)]);
  slow.say();
  t.true((await isOver(second)) && (await isOver(third)));
});
