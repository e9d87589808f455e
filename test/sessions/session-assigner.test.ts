import test from 'ava';
import { asGone, withoutSession, withPhase, withSession } from '../../src/model/driver-record.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { GatewayError } from '../../src/model/errors.js';
import { MAX_RECORD_ENTRIES } from '../../src/sessions/eligibility.js';
import {
  alice,
  bob,
  driverRecord,
  NAMESPACE,
  sessionId,
  sessionRecord,
  START_MS,
} from '../support/driver-records.js';
import { settle } from '../support/manual-clock.js';
import { observedDriver, sessionFixture, testPolicy } from '../support/session-fixture.js';

const end = (id: string, how: 'released' | 'expired') => (record: DriverRecord) =>
  withoutSession(record, id, how, START_MS);

const warming = (uid: string, createdAtMs: number) =>
  driverRecord(uid, { phase: 'warming', createdAtMs });

/** A promise's fate without waiting for it. */
function watch<T>(promise: Promise<T>) {
  const seen: { value?: T; error?: unknown } = {};
  promise.then(
    (value) => (seen.value = value),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

test('a session gets a hot driver and keeps it', async (t) => {
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
  const first = await f.assign(sessionId(1));
  t.like(first, {
    driverUid: 'd1',
    cluster: `spark/${NAMESPACE}`,
    address: '192.0.2.2:15002',
    driverToken: 'token-of-d1',
    namespace: NAMESPACE,
  });
  t.deepEqual(await f.assign(sessionId(1), { mayCreate: false }), first);
  t.is((await f.assign(sessionId(2))).driverUid, 'd2');
  t.true(f.world.events.some((event) => event.sessionId === sessionId(1)));
});

test('a first answer is given only when it is stored', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  f.store.pause();
  const answers = [watch(f.assign(sessionId(1))), watch(f.assign(sessionId(1)))];
  await settle();
  t.deepEqual(answers, [{}, {}]);
  f.store.resume();
  await settle();
  t.is(answers[0]?.value?.driverUid, 'd1');
  t.is(answers[1]?.value?.driverUid, 'd1');
});

test('an assignment that could not be stored is not answered, and the driver is free again', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  f.store.outcomes.push('lost');
  await t.throwsAsync(f.assign(sessionId(1)), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  t.is((await f.assign(sessionId(2), { principal: bob })).driverUid, 'd1');
});

test('many first requests of one session get one driver', async (t) => {
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
  const answers = await Promise.all(Array.from({ length: 50 }, () => f.assign(sessionId(1))));
  t.is(new Set(answers.map((answer) => answer.driverUid)).size, 1);
  t.is(f.ledger.get('d2')?.phase, 'available');
});

test('many sessions at once never get one exclusive driver twice', async (t) => {
  const f = await sessionFixture(Array.from({ length: 20 }, (_, n) => driverRecord(`d${n}`)));
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => f.assign(sessionId(n))));
  t.is(new Set(answers.map((answer) => answer.driverUid)).size, 20);
});

test("another's session is refused, alive, waiting or ended", async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  const refused = { code: 'SESSION_OF_ANOTHER' };
  await f.assign(sessionId(1));
  await t.throwsAsync(f.assign(sessionId(1), { principal: bob }), refused);
  await f.ledger.update('d1', end(sessionId(1), 'expired'));
  await t.throwsAsync(f.assign(sessionId(1), { principal: bob }), refused);
  watch(f.assign(sessionId(2)));
  await t.throwsAsync(f.assign(sessionId(2), { principal: bob }), refused);
  const sameName = { ...alice, issuer: 'https://elsewhere.test' };
  await t.throwsAsync(f.assign(sessionId(1), { principal: sameName }), refused);
});

test('a session keeps the user_id that it began with, waiting, alive and cloned', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  const refused = { code: 'USER_ID_MISMATCH', message: /began with another user_id/ };
  t.is((await f.assign(sessionId(1))).userId, 'alice');
  const other = { userId: 'mallory' };
  await t.throwsAsync(f.assign(sessionId(1), other), refused);
  await t.throwsAsync(f.assign(sessionId(1), { userId: '' }), refused);
  await t.throwsAsync(f.assign(sessionId(9), { ...other, cloneOf: sessionId(1) }), refused);
  watch(f.assign(sessionId(2)));
  await t.throwsAsync(f.assign(sessionId(2), other), refused);
  t.deepEqual(Object.keys(f.ledger.get('d1')?.sessions ?? {}), [sessionId(1)]);
});

test('a session stays in the namespace it began in', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  await f.assign(sessionId(1));
  await t.throwsAsync(f.assign(sessionId(1), { namespace: 'sjns-ads-prod' }), {
    code: 'SESSION_ELSEWHERE',
    message: /runs in sjns-ads-dev, not in sjns-ads-prod/,
  });
});

for (const [how, change] of [
  ['released', end(sessionId(1), 'released')],
  ['expired', end(sessionId(1), 'expired')],
  ['driver_gone', (record: DriverRecord) => asGone(record, START_MS, 'killed')],
] as const) {
  test(`a session that has ended (${how}) is never given another driver`, async (t) => {
    const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
    await f.assign(sessionId(1));
    await f.ledger.update('d1', change);
    for (const method of ['ExecutePlan', 'ReleaseSession']) {
      await t.throwsAsync(f.assign(sessionId(1), { method }), {
        code: 'SESSION_ENDED',
        message: /INVALID_HANDLE\.SESSION_CHANGED.*spark\.stop\(\) first/,
      });
    }
    t.is(f.ledger.get('d2')?.phase, 'available');
  });
}

test('the owner of a session is told why its driver ended, and nothing of the driver’s log', async (t) => {
  for (const [reason, told] of [
    [
      'The driver ended with exit code 3: it ran out of memory: give drivers more.',
      /ran out of memory: fetch and send less/,
    ],
    [
      'The container spark ended: OOMKilled, exit code 137.',
      /ran out of memory: fetch and send less/,
    ],
    ['The driver ended: the disk is full.', /found its disk full/],
    ['The driver ended: ERROR token=hunter2', /has ended because its Spark driver is gone;/],
  ] as const) {
    const f = await sessionFixture([driverRecord('d1')]);
    await f.assign(sessionId(1));
    await f.ledger.update('d1', (record) => asGone(record, START_MS, reason));
    const error = await t.throwsAsync(f.assign(sessionId(1)), { message: told });
    t.false(error?.message.includes('hunter2'));
  }
});

test('a request that may not start a session is told that nobody knows it', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  await t.throwsAsync(f.assign(sessionId(1), { mayCreate: false, method: 'ReattachExecute' }), {
    code: 'SESSION_UNKNOWN',
    message: /INVALID_HANDLE\.SESSION_NOT_FOUND/,
  });
});

test('an id that Spark would not take as a session is refused', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  for (const id of ['', 'constructor', '__proto__', `${sessionId(1)}x`]) {
    await t.throwsAsync(f.assign(id), { code: 'REQUEST_UNREADABLE' });
  }
});

test('doubt is UNAVAILABLE: a driver out of sight, a changed instance, a lost leadership', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  await f.assign(sessionId(1));
  const seen = f.observations.get('d1');
  t.truthy(seen);
  const unreachable = { code: 'DRIVER_UNREACHABLE' };
  f.observations.delete('d1');
  await t.throwsAsync(f.assign(sessionId(1)), unreachable);
  if (seen) f.observations.set('d1', { ...seen, instance: 'restarted' });
  await t.throwsAsync(f.assign(sessionId(1)), unreachable);
  if (seen) f.observations.set('d1', { ...seen, condition: 'not_ready' });
  t.is((await f.assign(sessionId(1))).driverUid, 'd1');
  f.leadership.held = undefined;
  for (const n of [1, 2]) {
    const asked = f.assign(sessionId(n), { mayCreate: false });
    await t.throwsAsync(asked, { code: 'CONTROL_PLANE_UNAVAILABLE' });
  }
});

const unsuitable: [string, Partial<DriverRecord>, object][] = [
  ['warming', { phase: 'warming' }, {}],
  ['draining', { phase: 'draining' }, {}],
  ['not ready', {}, { condition: 'not_ready' }],
  ['terminating', {}, { condition: 'terminating' }],
  ['of another instance', {}, { instance: 'other' }],
  ['without an address', { address: '' }, {}],
  ["with another's memory", { tenant: { principal: bob, team: 'ads' } }, {}],
  ['used and to be replaced', { phase: 'in_use', tenant: { principal: alice, team: 'ads' } }, {}],
];
for (const [what, fields, seen] of unsuitable) {
  test(`a driver that is ${what} takes no new session`, async (t) => {
    const record = driverRecord('d1', fields);
    const f = await sessionFixture([record]);
    f.observations.set('d1', observedDriver(record, seen));
    const asked = watch(f.assign(sessionId(1)));
    await f.clock.advance(5000);
    t.deepEqual(asked, {});
  });
}

test('drivers hold as many sessions as policy says, and hot ones come before those with room', async (t) => {
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
  f.world.policy = testPolicy({ sessionsPerDriver: 2, sharing: 'team' });
  const uids = [];
  for (const n of [1, 2, 3, 4]) {
    const principal = { ...alice, subject: `user-${n}` };
    uids.push((await f.assign(sessionId(n), { principal })).driverUid);
  }
  t.deepEqual(uids, ['d1', 'd2', 'd1', 'd2']);
  const fifth = watch(f.assign(sessionId(5)));
  await settle();
  t.deepEqual(fifth, {});
});

test('a driver holds no more sessions than it remembers, whatever policy says', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  f.world.policy = testPolicy({ sessionsPerDriver: 200 });
  const seen = f.observations.get('d1');
  if (seen) f.observations.set('d1', { ...seen, mostSessions: 2 });
  for (const n of [1, 2]) await f.assign(sessionId(n));
  const third = watch(f.assign(sessionId(3)));
  await settle();
  t.deepEqual(third, {});
});

test('a driver is shared within one principal, or within one team where policy says so', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  f.world.policy = testPolicy({ sessionsPerDriver: 9, sharing: 'team' });
  await f.assign(sessionId(1));
  t.is((await f.assign(sessionId(2), { principal: bob })).driverUid, 'd1');
  const otherTeam = watch(f.assign(sessionId(3), { team: 'search' }));
  await settle();
  t.deepEqual(otherTeam, {});
  // Once two principals have been there, no one is alone there any more.
  f.world.policy = testPolicy({ sessionsPerDriver: 9, sharing: 'principal' });
  const later = watch(f.assign(sessionId(4)));
  await settle();
  t.deepEqual(later, {});
});

test('a driver without a fence has sessions of one principal, also where policy shares drivers', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  f.world.policy = testPolicy({ sessionsPerDriver: 9, sharing: 'team' });
  const seen = f.observations.get('d1');
  if (!seen) return t.fail();
  const { fenced: _, ...unfenced } = seen;
  f.observations.set('d1', unfenced);
  await f.assign(sessionId(1));
  t.is((await f.assign(sessionId(2))).driverUid, 'd1');
  const mate = watch(f.assign(sessionId(3), { principal: bob }));
  await settle();
  t.deepEqual(mate, {});
  return undefined;
});

test('a new session goes to the driver of another one of its principal, where that has room', async (t) => {
  const f = await sessionFixture(['d1', 'd2', 'd3'].map((uid) => driverRecord(uid)));
  f.world.policy = testPolicy({ sessionsPerDriver: 2, sharing: 'team' });
  const at = async (n: number, principal = alice) =>
    (await f.assign(sessionId(n), { principal })).driverUid;
  t.is(await at(1, bob), 'd1');
  t.is(await at(2), 'd2');
  // newSession(): cached tables and global temporary views are there.
  t.is(await at(3), 'd2');
  await f.clock.advance(1_000);
  t.is(await at(4), 'd3');
  t.is(await at(5, bob), 'd1');
  f.world.policy = testPolicy({ sessionsPerDriver: 9, sharing: 'principal' });
  t.is(await at(6), 'd3', 'that of the session that was active last');
});

test('a reused driver goes to its own tenant only, and to that one first', async (t) => {
  const tenant = { principal: alice, team: 'ads' };
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2', { tenant })]);
  f.world.policy = testPolicy({ afterUse: 'reuse' });
  t.is((await f.assign(sessionId(1), { principal: bob })).driverUid, 'd1');
  const bobsSecond = watch(f.assign(sessionId(2), { principal: bob }));
  t.is((await f.assign(sessionId(3))).driverUid, 'd2');
  t.deepEqual(bobsSecond, {});
});

test('quotas are kept for a principal, a team and a namespace', async (t) => {
  for (const quota of [
    { sessionsPerPrincipal: 2 },
    { sessionsPerTeam: 2 },
    { sessionsPerNamespace: 2 },
  ]) {
    const f = await sessionFixture([1, 2, 3, 4].map((n) => driverRecord(`d${n}`)));
    f.world.policy = testPolicy({}, quota);
    await f.assign(sessionId(1));
    await f.assign(sessionId(2));
    await t.throwsAsync(f.assign(sessionId(3)), { code: 'QUOTA_EXCEEDED', message: /stop\(\)/ });
    await f.assign(sessionId(1));
    await f.ledger.update('d1', end(sessionId(1), 'released'));
    t.is((await f.assign(sessionId(3))).driverUid, 'd3');
  }
});

test('the refusal of a quota names what the caller can end, the idlest first', async (t) => {
  const f = await sessionFixture([1, 2, 3, 4].map((n) => driverRecord(`d${n}`)));
  f.world.policy = testPolicy({}, { sessionsPerTeam: 3 });
  await f.assign(sessionId(1));
  await f.clock.advance(5 * 60_000);
  await f.assign(sessionId(2));
  await f.assign(sessionId(3), { principal: bob });
  await f.clock.advance(7_000);
  f.world.busy.add(sessionId(1));
  const error = await t.throwsAsync(f.assign(sessionId(4)), { code: 'QUOTA_EXCEEDED' });
  t.true(
    error?.message.includes(
      `Team ads has 3 sessions, as many as the policy allows. Yours: ${sessionId(2)} (idle for 7 s), ${sessionId(1)} (busy). `,
    ),
    error?.message,
  );
  t.true(error?.message.endsWith(`spark-gateway release ${sessionId(2)}`));
  t.false(error?.message.includes(sessionId(3)), 'of others nothing is told');
  const carol = { ...alice, subject: 'carol' };
  await t.throwsAsync(f.assign(sessionId(5), { principal: carol }), {
    code: 'QUOTA_EXCEEDED',
    message: /None of them is yours/,
  });
});

test('who waits while all drivers are taken is told what of that is theirs to end', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  Object.assign(f.status, { warming: 0, drivers: 1, maximum: 1 });
  await f.assign(sessionId(1));
  await f.clock.advance(60_000);
  const own = watch(f.assign(sessionId(2), { holdMs: 10 }));
  const others = watch(f.assign(sessionId(3), { holdMs: 10, principal: bob }));
  await f.clock.advance(10);
  t.like(own.error, { code: 'POOL_EXHAUSTED' });
  const { message } = own.error as Error;
  t.true(message.includes(`Yours: ${sessionId(1)} (idle for 1 min).`));
  t.true(message.endsWith(`spark-gateway release ${sessionId(1)}`));
  t.regex((others.error as Error).message, /None of them is yours/);
});

test('whoever waits when the policy changes is let in anew, and keeps the place', async (t) => {
  const f = await sessionFixture();
  const first = watch(f.assign(sessionId(1)));
  const second = watch(f.assign(sessionId(2)));
  f.world.policy = { ...testPolicy(), version: 'other' };
  await f.clock.advance(1_100);
  for (const { error } of [first, second]) {
    t.like(error, { code: 'DRIVER_STARTING', retryAfterMs: 500 });
  }
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 2);
  const later = [2, 1].map((n) => watch(f.assign(sessionId(n))));
  await f.addDriver(driverRecord('d1'));
  await settle();
  t.deepEqual(
    later.map(({ value }) => value?.driverUid),
    [undefined, 'd1'],
  );
});

test('a client that has given up waiting and only asks by the way begins no session', async (t) => {
  const f = await sessionFixture();
  const gone = new AbortController();
  const waiting = watch(f.assign(sessionId(1), { incidental: true }, gone.signal));
  await settle();
  t.deepEqual(waiting, {});
  gone.abort();
  await settle();
  await t.throwsAsync(f.assign(sessionId(1), { incidental: true }), { code: 'SESSION_UNKNOWN' });
  const others = [
    watch(f.assign(sessionId(1), { incidental: true, principal: bob })),
    watch(f.assign(sessionId(2), { incidental: true })),
  ];
  await settle();
  t.deepEqual(others, [{}, {}]);
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 2);
});

test('a client that begins again after it has given up gets a driver', async (t) => {
  const f = await sessionFixture();
  const gone = new AbortController();
  watch(f.assign(sessionId(1), {}, gone.signal));
  gone.abort();
  await settle();
  const again = watch(f.assign(sessionId(1)));
  const byTheWay = watch(f.assign(sessionId(1), { incidental: true }));
  await f.addDriver(driverRecord('d1'));
  await settle();
  t.is(again.value?.driverUid, 'd1');
  t.is(byTheWay.value?.driverUid, 'd1');
});

test('a refusal by quota stays short, however many sessions there are', async (t) => {
  const f = await sessionFixture(
    Array.from({ length: 200 }, (_, n) =>
      driverRecord(`d${n}`, {
        phase: 'in_use',
        sessions: { [sessionId(n)]: sessionRecord(sessionId(n)) },
      }),
    ),
  );
  f.world.policy = testPolicy({}, { sessionsPerPrincipal: 200 });
  const error = await t.throwsAsync(f.assign(sessionId(900)), { message: /and 195 more/ });
  t.true((error?.message.length ?? 0) < 1_500);
});

test('a quota holds for those who waited, too', async (t) => {
  const f = await sessionFixture();
  f.world.policy = testPolicy({}, { sessionsPerPrincipal: 1 });
  const asked = [1, 2].map((n) => watch(f.assign(sessionId(n))));
  await f.addDriver(driverRecord('d1'));
  await f.addDriver(driverRecord('d2'));
  await settle();
  t.is(asked[0]?.value?.driverUid, 'd1');
  t.like(asked[1]?.error, { code: 'QUOTA_EXCEEDED' });
});

test('a namespace without a pool is refused at once', async (t) => {
  const f = await sessionFixture();
  await t.throwsAsync(f.assign(sessionId(1), { namespace: 'kube-system' }), {
    code: 'NAMESPACE_REFUSED',
  });
});

test('a clone is pinned to the driver of its source', async (t) => {
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
  await f.assign(sessionId(1));
  const clone = () => f.assign(sessionId(2), { cloneOf: sessionId(1), mayCreate: false });
  t.is((await clone()).driverUid, 'd1');
  t.is((await clone()).driverUid, 'd1');
  t.is((await f.assign(sessionId(2))).driverUid, 'd1');
  t.is(f.ledger.get('d2')?.phase, 'available');
});

test('a clone of what is not yours, not there or over is refused', async (t) => {
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
  await f.assign(sessionId(1));
  await f.assign(sessionId(2), { principal: bob });
  const clone = (of: number, id = 9) => f.assign(sessionId(id), { cloneOf: sessionId(of) });
  await t.throwsAsync(clone(2), { code: 'SESSION_OF_ANOTHER' });
  await t.throwsAsync(clone(5), { code: 'SESSION_UNKNOWN' });
  await f.addDriver(driverRecord('d3'));
  await f.assign(sessionId(3));
  await t.throwsAsync(clone(1, 3), { code: 'SESSION_ELSEWHERE', message: /fresh id/ });
  await f.ledger.update('d1', end(sessionId(1), 'expired'));
  await t.throwsAsync(clone(1), { code: 'SESSION_ENDED' });
});

test('a record that is full takes no more, not even clones', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  await f.assign(sessionId(1));
  const tombstones = Object.fromEntries(
    Array.from({ length: MAX_RECORD_ENTRIES - 1 }, (_, n) => {
      const tombstone = { ...sessionRecord(sessionId(n + 10)), namespace: NAMESPACE };
      return [tombstone.sessionId, { ...tombstone, endedAtMs: START_MS, end: 'released' as const }];
    }),
  );
  await f.ledger.update('d1', (record) => ({ ...record, tombstones }));
  await t.throwsAsync(f.assign(sessionId(2), { cloneOf: sessionId(1) }), {
    code: 'QUOTA_EXCEEDED',
    message: /2000 sessions/,
  });
});

test('sessions that wait for a pool that the policy has taken away are told so', async (t) => {
  const f = await sessionFixture();
  const waiting = watch(f.assign(sessionId(1)));
  f.world.policy = { ...testPolicy(), pool: () => undefined };
  await f.clock.advance(1_100);
  t.like(waiting.error, { code: 'NAMESPACE_REFUSED' });
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 0);
});

test('a driver that has too many ended sessions to remember is named as the reason', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  const tombstones = Object.fromEntries(
    Array.from({ length: MAX_RECORD_ENTRIES }, (_, n) => {
      const tombstone = { ...sessionRecord(sessionId(n + 10)), namespace: NAMESPACE };
      return [tombstone.sessionId, { ...tombstone, endedAtMs: START_MS, end: 'released' as const }];
    }),
  );
  await f.ledger.update('d1', (record) => ({ ...record, tombstones }));
  f.status.warming = 0;
  const waiting = watch(f.assign(sessionId(1), { holdMs: 10 }));
  await f.clock.advance(10);
  t.like(waiting.error, { code: 'POOL_EXHAUSTED' });
  t.regex((waiting.error as Error).message, /1 of them has 2000 sessions with those that ended/);
});

test('those who wait are served in the order in which they came', async (t) => {
  const f = await sessionFixture();
  const asked = [1, 2, 3].map((n) => watch(f.assign(sessionId(n))));
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 3);
  for (const uid of ['d1', 'd2', 'd3']) await f.addDriver(driverRecord(uid));
  await settle();
  t.deepEqual(
    asked.map(({ value }) => value?.driverUid),
    ['d1', 'd2', 'd3'],
  );
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 0);
});

test('someone who cannot use a driver does not keep those behind from it', async (t) => {
  const f = await sessionFixture();
  const [alices, bobs] = [alice, bob].map((principal, n) =>
    watch(f.assign(sessionId(n), { principal })),
  );
  await f.addDriver(driverRecord('d1', { tenant: { principal: bob, team: 'ads' } }));
  await settle();
  t.deepEqual(alices, {});
  t.is(bobs?.value?.driverUid, 'd1');
});

test('a driver that becomes ready again is found without a change of its record', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  const seen = observedDriver(driverRecord('d1'));
  f.observations.set('d1', { ...seen, condition: 'not_ready' });
  const asked = watch(f.assign(sessionId(1)));
  await f.clock.advance(3000);
  t.deepEqual(asked, {});
  f.observations.set('d1', seen);
  await f.clock.advance(3000);
  t.is(asked.value?.driverUid, 'd1');
});

test('a caller that goes away frees its place', async (t) => {
  const f = await sessionFixture();
  const gone = new AbortController();
  const first = watch(f.assign(sessionId(1), {}, gone.signal));
  const second = watch(f.assign(sessionId(2)));
  gone.abort();
  await settle();
  t.true(first.error instanceof GatewayError);
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 1);
  await f.addDriver(driverRecord('d1'));
  await settle();
  t.is(second.value?.driverUid, 'd1');
});

test('a session keeps its place while one of its callers still waits', async (t) => {
  const f = await sessionFixture();
  const gone = new AbortController();
  const first = watch(f.assign(sessionId(1), {}, gone.signal));
  const other = watch(f.assign(sessionId(1)));
  gone.abort();
  await settle();
  t.truthy(first.error);
  await f.addDriver(driverRecord('d1'));
  await settle();
  t.is(other.value?.driverUid, 'd1');
});

test('when the hold is over the client is told when to come back, and keeps its place in line', async (t) => {
  const f = await sessionFixture([driverRecord('d1', { phase: 'warming' })]);
  const first = watch(f.assign(sessionId(1), { holdMs: 5000 }));
  await f.clock.advance(5000);
  t.like(first.error, { code: 'DRIVER_STARTING', retryAfterMs: 15_000 });
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 1);
  const later = watch(f.assign(sessionId(2)));
  const again = watch(f.assign(sessionId(1)));
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 2);
  await f.ledger.update('d1', (record) => withPhase(record, 'available', f.clock.now()));
  await settle();
  t.is(again.value?.driverUid, 'd1');
  t.deepEqual(later, {});
});

test('the time to come back follows how long drivers have taken to start', async (t) => {
  const f = await sessionFixture([warming('d1', START_MS)]);
  await f.clock.advance(40_000);
  await f.ledger.update('d1', (record) => withPhase(record, 'available', f.clock.now()));
  await f.assign(sessionId(1));
  await f.addDriver(warming('d2', f.clock.now()));
  const asked = watch(f.assign(sessionId(2), { holdMs: 10_000 }));
  await f.clock.advance(10_000);
  t.like(asked.error, { code: 'DRIVER_STARTING', retryAfterMs: 30_000 });
});

test('whoever has a driver at once is no demand, whoever waits is', async (t) => {
  const f = await sessionFixture(['d1', 'd2', 'd3', 'd4'].map((uid) => driverRecord(uid)));
  let changes = 0;
  f.waitingRoom.onChange(() => (changes += 1));
  await Promise.all([1, 2].map((n) => f.assign(sessionId(n))));
  for (const n of [3, 4]) await f.assign(sessionId(n));
  await settle();
  t.is(changes, 0);
  const waits = watch(f.assign(sessionId(5), { holdMs: 60_000 }));
  await settle();
  t.is(changes, 1);
  await f.addDriver(driverRecord('d5'));
  await settle();
  t.is(waits.value?.driverUid, 'd5');
  t.is(changes, 2);
});

test('a client that never came back is no demand for ever', async (t) => {
  const f = await sessionFixture();
  let changes = 0;
  f.waitingRoom.onChange(() => (changes += 1));
  watch(f.assign(sessionId(1), { holdMs: 1000 }));
  await f.clock.advance(1000);
  t.deepEqual([...f.waitingRoom.namespaces()], [NAMESPACE]);
  const before = changes;
  await f.clock.advance(120_000);
  t.deepEqual([...f.waitingRoom.namespaces()], []);
  t.true(changes > before);
});

test('a pool that cannot start drivers, or is at its maximum, is named as the reason', async (t) => {
  const f = await sessionFixture();
  f.status.failure = 'the image cannot be pulled.';
  f.status.retryInMs = 17_000;
  const failed = watch(f.assign(sessionId(1), { holdMs: 10 }));
  await f.clock.advance(10);
  t.like(failed.error, { code: 'DRIVER_START_FAILED', retryAfterMs: 17_000 });
  t.regex((failed.error as GatewayError).message, /image cannot be pulled/);
  Object.assign(f.status, { failure: undefined, warming: 0, drivers: 4 });
  const full = watch(f.assign(sessionId(2), { holdMs: 10 }));
  await f.clock.advance(10);
  t.like(full.error, { code: 'POOL_EXHAUSTED' });
});

test('a restart keeps every session where it was and forgets no end', async (t) => {
  const f = await sessionFixture([driverRecord('d1'), driverRecord('d2')]);
  await f.assign(sessionId(1));
  await f.assign(sessionId(2));
  await f.ledger.update('d2', end(sessionId(2), 'expired'));
  await f.ledger.close();
  const again = await sessionFixture([], { store: f.store, clock: f.clock });
  t.is((await again.assign(sessionId(1))).driverUid, 'd1');
  await t.throwsAsync(again.assign(sessionId(2)), { code: 'SESSION_ENDED' });
});

test('a session that lost its place to a failing store is in no record', async (t) => {
  const held = withSession(driverRecord('d1'), sessionRecord(sessionId(1)), START_MS);
  const f = await sessionFixture([held, driverRecord('d2')]);
  f.store.outcomes.push('lost');
  await t.throwsAsync(f.assign(sessionId(2)), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  t.is(f.ledger.bySession(sessionId(2)), undefined);
  t.is((await f.assign(sessionId(2))).driverUid, 'd2');
});
