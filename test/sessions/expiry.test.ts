import test from 'ava';
import { withSession } from '../../src/model/driver-record.js';
import type { DriverRecord } from '../../src/model/driver.js';
import {
  SessionExpiry,
  type SessionAddress,
  type SessionStatus,
} from '../../src/sessions/expiry.js';
import {
  driverRecord,
  NAMESPACE,
  sessionId,
  sessionRecord,
  START_MS,
} from '../support/driver-records.js';
import { settle } from '../support/manual-clock.js';
import { sessionFixture } from '../support/session-fixture.js';

const MINUTE = 60_000;
const TTL = 30 * MINUTE;
const DISCONNECTED_TTL = 2 * MINUTE;
const TOMBSTONE_TTL = 4 * TTL;

async function setUp(records?: DriverRecord[]) {
  const withOne = withSession(driverRecord('d1'), sessionRecord(sessionId(1)), START_MS);
  const f = await sessionFixture(records ?? [withOne]);
  const driver = {
    status: 'idle' as SessionStatus,
    asked: 0,
    released: [] as SessionAddress[],
    onStatus: () => {},
  };
  const expiry = new SessionExpiry({
    ledger: f.ledger,
    leadership: f.leadership,
    observations: f.observations,
    sparkConnect: {
      status: () => {
        driver.asked += 1;
        driver.onStatus();
        return Promise.resolve(driver.status);
      },
      release: (session) => {
        driver.released.push(session);
        return Promise.resolve(true);
      },
    },
    clock: f.clock,
    logger: f.logger,
    sessionTtlMs: TTL,
    disconnectedTtlMs: (namespace) => (namespace === NAMESPACE ? DISCONNECTED_TTL : undefined),
    tombstoneTtlMs: TOMBSTONE_TTL,
  });
  expiry.start();
  const { activity } = expiry;
  const use = (reporterId?: string) =>
    activity.activity(
      [{ sessionId: sessionId(1), atMs: f.clock.now(), released: false }],
      reporterId,
    );
  const lives = () => sessionId(1) in (f.ledger.get('d1')?.sessions ?? {});
  const how = () => f.ledger.get('d1')?.tombstones[sessionId(1)]?.end;
  return { ...f, driver, expiry, activity, use, lives, how };
}

test('a session that was idle for a TTL ends: a tombstone first, then its driver is told', async (t) => {
  const f = await setUp();
  await f.clock.advance(TTL - 1);
  t.true(f.lives());
  await f.clock.advance(2 * MINUTE);
  t.is(f.how(), 'expired');
  t.is(f.store.records.get('d1')?.record.tombstones[sessionId(1)]?.end, 'expired');
  t.deepEqual(f.driver.released, [
    { address: '192.0.2.2:15002', token: 'token-of-d1', sessionId: sessionId(1), userId: 'alice' },
  ]);
});

test('activity puts the end off', async (t) => {
  const f = await setUp();
  for (let n = 0; n < 10; n += 1) {
    await f.clock.advance(TTL - 2 * MINUTE);
    f.use();
  }
  t.true(f.lives());
  t.is(f.driver.asked, 0);
  await f.clock.advance(TTL + 2 * MINUTE);
  t.false(f.lives());
});

test('a session does not expire while a stream is open, however long', async (t) => {
  const f = await setUp();
  f.activity.streamOpened(sessionId(1), 'envoy-1/7', f.clock.now(), 'envoy-1');
  await f.clock.advance(10 * TTL);
  t.true(f.lives());
  f.activity.streamClosed(sessionId(1), 'envoy-1/7', f.clock.now());
  await f.clock.advance(TTL - 1);
  t.true(f.lives());
  await f.clock.advance(2 * MINUTE);
  t.false(f.lives());
});

test('a running query keeps its session, though nothing is heard of it', async (t) => {
  const f = await setUp();
  f.driver.status = 'running';
  await f.clock.advance(5 * TTL);
  t.true(f.lives());
  t.true(f.driver.asked >= 3);
  f.driver.status = 'idle';
  await f.clock.advance(TTL + 2 * MINUTE);
  t.false(f.lives());
});

test('a driver that cannot be asked is doubt: nothing expires', async (t) => {
  const f = await setUp();
  f.driver.status = 'unreachable';
  await f.clock.advance(3 * TTL);
  t.true(f.lives());
  f.driver.status = 'idle';
  f.observations.delete('d1');
  await f.clock.advance(3 * TTL);
  t.true(f.lives());
});

for (const status of ['unsupported', 'unknown'] as const) {
  test(`an idle session ends when the driver's answer is: ${status}`, async (t) => {
    const f = await setUp();
    f.driver.status = status;
    await f.clock.advance(TTL + 2 * MINUTE);
    t.is(f.how(), 'expired');
  });
}

test('a session that is used while its driver is asked stays', async (t) => {
  const f = await setUp();
  f.driver.onStatus = () => f.use();
  await f.clock.advance(TTL + 2 * MINUTE);
  t.is(f.driver.asked, 1);
  t.true(f.lives());
});

test('after a restart nothing expires for a TTL, because nobody knows what was missed', async (t) => {
  const times = { createdAtMs: START_MS - 5 * TTL, lastActiveMs: START_MS - 5 * TTL };
  const old = withSession(driverRecord('d1'), sessionRecord(sessionId(1), times), START_MS);
  const f = await setUp([old]);
  await f.clock.advance(TTL - 1);
  t.true(f.lives());
  await f.clock.advance(2 * MINUTE);
  t.false(f.lives());
});

test('while a reporter is away what it told of does not expire for a TTL, nor when it is back', async (t) => {
  const f = await setUp();
  f.activity.reporterConnected('sidecar-1');
  f.use('sidecar-1');
  await f.clock.advance(TTL - MINUTE);
  f.activity.reporterDisconnected('sidecar-1');
  await f.clock.advance(TTL - MINUTE);
  t.true(f.lives());
  f.activity.reporterConnected('sidecar-1');
  await f.clock.advance(TTL - MINUTE);
  t.true(f.lives());
  await f.clock.advance(3 * MINUTE);
  t.false(f.lives());
});

test('what a reporter never told of expires in its time, however often such ones come and go', async (t) => {
  const f = await setUp();
  f.activity.reporterConnected('sidecar-1');
  f.use('sidecar-1');
  await f.clock.advance(TTL - MINUTE);
  for (const id of ['sidecar-2', 'sidecar-3', 'sidecar-2']) {
    f.activity.reporterConnected(id);
    f.activity.reporterDisconnected(id);
  }
  await f.clock.advance(3 * MINUTE);
  t.false(f.lives());
});

test('after a reporter with an unknown past nothing expires for a TTL', async (t) => {
  const f = await setUp();
  f.activity.reporterConnected('sidecar-1');
  f.use('sidecar-1');
  await f.clock.advance(TTL - MINUTE);
  f.activity.reporterDisconnected('sidecar-2');
  f.activity.reporterConnected('sidecar-2');
  await f.clock.advance(TTL - 1);
  t.true(f.lives());
  await f.clock.advance(2 * MINUTE);
  t.false(f.lives());
});

test('a new reporter is no reason to wait', async (t) => {
  const f = await setUp();
  await f.clock.advance(TTL - MINUTE);
  f.activity.reporterConnected('sidecar-2');
  await f.clock.advance(3 * MINUTE);
  t.false(f.lives());
});

test('the streams of a reporter that is gone are no longer taken for open', async (t) => {
  const f = await setUp();
  f.activity.reporterConnected('envoy-1');
  f.activity.streamOpened(sessionId(1), 'envoy-1/7', f.clock.now(), 'envoy-1');
  await f.clock.advance(2 * TTL);
  f.activity.reporterDisconnected('envoy-1');
  await f.clock.advance(TTL - 1);
  t.true(f.lives());
  await f.clock.advance(2 * MINUTE);
  t.false(f.lives());
});

async function connected() {
  const f = await setUp([driverRecord('d1')]);
  await f.clock.advance(MINUTE);
  const times = { createdAtMs: f.clock.now(), lastActiveMs: f.clock.now() };
  await f.ledger.update('d1', (record) =>
    withSession(record, sessionRecord(sessionId(1), times), f.clock.now()),
  );
  f.activity.reporterConnected('envoy-1');
  /** The connection is the client's n-th. */
  const request = (n: number, atMs = f.clock.now()) => {
    f.use('envoy-1');
    f.activity.connectionUsed(sessionId(1), `envoy-1/10.0.0.1 ${n}`, atMs);
  };
  const leave = (n: number) => f.activity.connectionEnded(`envoy-1/10.0.0.1 ${n}`, f.clock.now());
  return { ...f, request, leave };
}

test('a session whose client has closed all its connections ends sooner', async (t) => {
  const f = await connected();
  f.request(1);
  f.request(2);
  f.leave(1);
  await f.clock.advance(10 * MINUTE);
  t.true(f.lives(), 'one is open');
  f.leave(2);
  await f.clock.advance(DISCONNECTED_TTL - MINUTE);
  t.true(f.lives());
  await f.clock.advance(2 * MINUTE);
  t.is(f.how(), 'expired');
  t.is(f.driver.released.length, 1);
});

test('a connection that sessions share is gone for each of them, those of others and of nobody are not', async (t) => {
  const f = await connected();
  const use = (n: number, connection: string) => {
    f.activity.activity(
      [{ sessionId: sessionId(n), atMs: f.clock.now(), released: false }],
      'envoy-1',
    );
    f.activity.connectionUsed(sessionId(n), connection, f.clock.now());
  };
  for (const n of [2, 3]) {
    const times = { createdAtMs: f.clock.now(), lastActiveMs: f.clock.now() };
    await f.ledger.update('d1', (record) =>
      withSession(record, sessionRecord(sessionId(n), times), f.clock.now()),
    );
  }
  use(1, 'envoy-1/shared');
  use(2, 'envoy-1/shared');
  use(3, 'envoy-1/own');
  for (let n = 0; n < 60_000; n += 1) {
    f.activity.connectionEnded(`envoy-1/stranger ${n}`, f.clock.now());
  }
  f.activity.connectionEnded('envoy-1/shared', f.clock.now());
  const left = () => [1, 2, 3].map((n) => f.activity.disconnectedAtMs(sessionId(n)) !== undefined);
  t.deepEqual(left(), [true, true, false]);
  // A session that has ended in the meantime is in nobody's way.
  await f.expiry.end(sessionId(3), 'released');
  await f.expiry.sweep();
  f.activity.connectionEnded('envoy-1/own', f.clock.now());
  t.deepEqual(left(), [true, true, false]);
});

test('a client that comes back in time keeps its session', async (t) => {
  const f = await connected();
  f.request(1);
  f.leave(1);
  await f.clock.advance(MINUTE);
  f.request(2);
  await f.clock.advance(TTL - MINUTE);
  t.true(f.lives());
});

test('a session that is used while its client seems to be gone is not taken for left', async (t) => {
  const f = await connected();
  f.request(1);
  f.leave(1);
  await f.clock.advance(MINUTE);
  // By a sidecar; the Envoy that has the connection tells nothing.
  f.use('sidecar-1');
  await f.clock.advance(10 * MINUTE);
  t.true(f.lives());
});

test('what runs goes on though its client has gone', async (t) => {
  const f = await connected();
  f.request(1);
  f.leave(1);
  f.driver.status = 'running';
  await f.clock.advance(TTL / 2);
  t.true(f.lives());
  f.driver.status = 'unreachable';
  await f.clock.advance(TTL / 4);
  t.true(f.lives());
});

test('a record that comes after the end of its connection opens it no more, one of a new connection does', async (t) => {
  const f = await connected();
  const before = f.clock.now();
  f.request(1);
  await f.clock.advance(1_000);
  f.leave(1);
  f.request(1, before);
  await f.clock.advance(DISCONNECTED_TTL + MINUTE);
  t.is(f.how(), 'expired');
  const g = await connected();
  g.request(1);
  await g.clock.advance(1_000);
  g.leave(1);
  await g.clock.advance(1_000);
  g.request(1);
  await g.clock.advance(10 * MINUTE);
  t.true(g.lives());
});

test('where a reporter may have missed a connection, nobody knows that there is none', async (t) => {
  const f = await connected();
  f.request(1);
  f.activity.connectionsMissed('envoy-1');
  f.leave(1);
  await f.clock.advance(10 * MINUTE);
  t.true(f.lives());
  // A session from before this process began.
  const old = sessionRecord(sessionId(1), { createdAtMs: START_MS - 1 });
  const g = await setUp([withSession(driverRecord('d1'), old, START_MS)]);
  g.activity.reporterConnected('envoy-1');
  await g.clock.advance(TTL - MINUTE);
  g.use('envoy-1');
  g.activity.connectionUsed(sessionId(1), 'envoy-1/10.0.0.1 1', g.clock.now());
  g.activity.connectionEnded('envoy-1/10.0.0.1 1', g.clock.now());
  await g.clock.advance(10 * MINUTE);
  t.true(g.lives());
});

test('a release that the driver confirmed ends the session at once', async (t) => {
  const f = await setUp();
  f.activity.released(sessionId(1), f.clock.now());
  await settle();
  t.is(f.how(), 'released');
  t.deepEqual(f.driver.released, []);
});

test('a session that its driver has closed by itself ends as expired, and the driver need not be told', async (t) => {
  const f = await setUp();
  f.activity.closedByDriver(sessionId(1), 'another driver');
  await settle();
  t.true(f.lives(), 'what a former driver says of it counts no more');
  f.activity.closedByDriver(sessionId(1), 'd1');
  await settle();
  t.is(f.how(), 'expired');
  t.deepEqual(f.driver.released, []);
  f.activity.closedByDriver(sessionId(1), 'd1');
  await settle();
  t.is(f.how(), 'expired');
});

test('a session that its client stops, and of which the driver says so at once, was released', async (t) => {
  const f = await setUp();
  f.activity.activity([{ sessionId: sessionId(1), atMs: f.clock.now(), released: true }]);
  f.activity.closedByDriver(sessionId(1), 'd1');
  await settle();
  t.is(f.how(), 'released');
});

test('a release that a sidecar let through ends the session a little later', async (t) => {
  const f = await setUp();
  f.activity.activity([{ sessionId: sessionId(1), atMs: f.clock.now(), released: true }]);
  await f.clock.advance(1999);
  t.true(f.lives());
  await f.clock.advance(1);
  t.is(f.how(), 'released');
  t.is(f.driver.released.length, 1);
});

test('a release is tried again while it cannot be stored', async (t) => {
  const f = await setUp();
  f.store.outcomes.push('lost', 'lost');
  f.activity.released(sessionId(1), f.clock.now());
  await settle();
  t.true(f.lives());
  await f.clock.advance(10_000);
  t.is(f.how(), 'released');
});

test('an end that cannot be stored leaves the session and its driver alone', async (t) => {
  const f = await setUp();
  f.store.outcomes.push('lost');
  await t.throwsAsync(f.expiry.end(sessionId(1), 'evicted'), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  t.true(f.lives());
  t.deepEqual(f.driver.released, []);
  t.true(await f.expiry.end(sessionId(1), 'evicted'));
  t.is(f.how(), 'evicted');
  t.is(f.driver.released.length, 1);
  t.false(await f.expiry.end(sessionId(1), 'evicted'));
});

test('tombstones are dropped when they are old enough, not before', async (t) => {
  const f = await setUp();
  await f.expiry.end(sessionId(1), 'released');
  await f.clock.advance(TOMBSTONE_TTL - 1);
  t.is(f.how(), 'released');
  await f.clock.advance(2 * MINUTE);
  t.is(f.how(), undefined);
  t.deepEqual(f.store.records.get('d1')?.record.tombstones, {});
});

test('a follower ends nothing', async (t) => {
  const f = await setUp();
  f.leadership.held = undefined;
  await f.clock.advance(3 * TTL);
  t.true(f.lives());
  t.is(f.driver.asked, 0);
});

test('activity reaches the record, in time to survive a restart', async (t) => {
  const f = await setUp();
  const writes = f.store.writes;
  await f.clock.advance(TTL / 2);
  for (let n = 0; n < 100; n += 1) f.use();
  await f.clock.advance(10_000);
  t.is(f.store.writes, writes + 1);
  t.is(f.store.records.get('d1')?.record.sessions[sessionId(1)]?.lastActiveMs, START_MS + TTL / 2);
});

test('what is told of sessions that nobody knows is not kept', async (t) => {
  const f = await setUp();
  f.activity.activity([{ sessionId: sessionId(9), atMs: f.clock.now(), released: true }]);
  f.activity.streamOpened(sessionId(9), 'envoy-1/1', f.clock.now(), 'envoy-1');
  f.activity.released(sessionId(9), f.clock.now());
  t.false(f.activity.hasOpenStream(sessionId(9)));
  await f.clock.advance(MINUTE);
  t.true(f.lives());
});

function tombstones(count: number, endedAtMs: number, from: number) {
  return Array.from({ length: count }, (_, n) => {
    const { sessionId: id, principal } = sessionRecord(sessionId(from + n));
    const end = 'released' as const;
    return [id, { sessionId: id, principal, namespace: NAMESPACE, endedAtMs, end }] as const;
  });
}

test('a driver with very many ended sessions is freed of the oldest, of none younger than a TTL', async (t) => {
  const old = tombstones(1_500, START_MS - TTL - 1, 10_000);
  const young = tombstones(1_200, START_MS, 20_000);
  const f = await setUp([
    driverRecord('d1', { tombstones: Object.fromEntries([...old, ...young]) }),
  ]);
  await f.expiry.sweep();
  const left = Object.values(f.ledger.get('d1')?.tombstones ?? {});
  t.is(left.length, 1_200);
  t.true(left.every(({ endedAtMs }) => endedAtMs === START_MS));
});
