import test from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import { withSession } from '../../src/model/driver-record.js';
import { bob, NAMESPACE, sessionId, sessionRecord } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

async function warmWorld(): Promise<PoolWorld> {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  return world;
}

test('a pool is filled to its size, counting drivers that are on their way', async (t) => {
  const world = new PoolWorld();
  world.drivers.showsCreated = false;
  await world.start();
  await world.pass(60_000);
  t.deepEqual(world.drivers.created, ['d1', 'd2']);
  t.is(world.controller.status({ namespace: NAMESPACE }).warming, 2);
  for (const resource of ['d1', 'd2']) world.drivers.show(resource, 'starting');
  await world.pass(60_000);
  t.is(world.drivers.created.length, 2);
  t.is(world.records('warming').length, 2);
  t.deepEqual(world.fleet.uids, []);
});

test('a driver takes sessions once every Envoy has acknowledged it', async (t) => {
  const world = new PoolWorld();
  await world.start();
  world.fleet.acknowledges = false;
  await world.allReady();
  t.deepEqual(world.fleet.uids, ['uid-of-d1', 'uid-of-d2']);
  t.is(world.phaseOf('uid-of-d1'), 'warming');
  world.fleet.acknowledge();
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'available');
});

test('an Envoy that does not acknowledge holds a driver back for five seconds at most', async (t) => {
  const world = new PoolWorld();
  await world.start();
  world.fleet.acknowledges = false;
  await world.allReady();
  await world.pass(4_800);
  t.is(world.phaseOf('uid-of-d1'), 'warming');
  await world.pass(300);
  t.is(world.phaseOf('uid-of-d1'), 'available');
});

test('a session that is assigned while a pass gives idle drivers up keeps its driver', async (t) => {
  const world = await warmWorld();
  let assigned: Promise<unknown> | undefined;
  world.ledger.onChange((uid) => {
    if (uid !== 'uid-of-d1' || assigned) return;
    assigned = world.ledger.update('uid-of-d2', (record) =>
      withSession(record, sessionRecord(sessionId(1)), world.clock.now()),
    );
  });
  world.pools.set(NAMESPACE, { ...POOL, size: 0, idleTtlMs: 0 });
  world.controller.trigger();
  await world.pass();
  await assigned;
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.phaseOf('uid-of-d2'), 'in_use');
  t.is(world.ledger.bySession(sessionId(1))?.uid, 'uid-of-d2');
});

test('a driver in use is replaced in the pool, and deleted when its session ends', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3']);
  await world.release('uid-of-d1', sessionId(1));
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.phaseOf('uid-of-d1'), 'gone');
  t.is(world.ledger.bySession(sessionId(1))?.uid, 'uid-of-d1');
  t.false(world.fleet.uids.includes('uid-of-d1'));
});

test('drivers that come into use at the same time are looked at together', async (t) => {
  const world = await warmWorld();
  for (const [index, uid] of ['uid-of-d1', 'uid-of-d2'].entries()) {
    await world.ledger.update(uid, (record) =>
      withSession(record, sessionRecord(sessionId(index)), world.clock.now()),
    );
    await world.pass(100);
    t.deepEqual(world.drivers.created, ['d1', 'd2']);
  }
  await world.pass(50);
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3', 'd4']);
});

test('the record of a driver that is gone goes when its last tombstone ends', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(1_799_000);
  t.is(world.phaseOf('uid-of-d1'), 'gone');
  await world.pass(2_000);
  t.is(world.phaseOf('uid-of-d1'), 'no record');
  t.false(world.store.records.has('uid-of-d1'));
});

test('where policy reuses drivers, one whose session ended is available to its tenant', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, afterUse: 'reuse' });
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1), bob);
  await world.release('uid-of-d1', sessionId(1));
  t.is(world.phaseOf('uid-of-d1'), 'available');
  t.deepEqual(world.ledger.get('uid-of-d1')?.tenant?.principal, bob);
  t.deepEqual(world.drivers.deleted, []);
  t.is(world.drivers.created.length, 3, 'it does not count as ready for anyone else');
});

test('a tenant’s idle driver makes room for a session that waits at the maximum', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 0, maximum: 1, afterUse: 'reuse' });
  await world.start();
  world.demand.set(NAMESPACE, 1);
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  world.demand.set(NAMESPACE, 0);
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(60_000);
  t.deepEqual(world.drivers.deleted, []);
  world.demand.set(NAMESPACE, 1);
  await world.pass(1_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.deepEqual(world.drivers.created, ['d1', 'd2']);
});

test('a pool grows with the sessions that wait, up to its maximum, and shrinks when idle', async (t) => {
  const world = await warmWorld();
  for (const n of [1, 2]) await world.assign(`uid-of-d${n}`, sessionId(n));
  world.demand.set(NAMESPACE, 5);
  await world.pass();
  t.is(world.drivers.created.length, 4);
  t.is(world.controller.status({ namespace: NAMESPACE }).drivers, 4);
  world.demand.set(NAMESPACE, 0);
  await world.allReady();
  for (const n of [1, 2]) await world.release(`uid-of-d${n}`, sessionId(n));
  await world.pass(1_000_000);
  t.is(world.records('available').length, 2);
});

test('available drivers beyond the size end after the idle time, those with sessions never', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 1 });
  await world.start();
  world.demand.set(NAMESPACE, 2);
  await world.allReady();
  world.demand.set(NAMESPACE, 0);
  await world.assign('uid-of-d1', sessionId(1));
  t.is(world.records('available').length, 2);
  await world.pass(599_000);
  t.is(world.records('available').length, 2);
  await world.pass(2_000);
  t.is(world.records('available').length, 1);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
});

test('a driver that does not come up in time is deleted and tried again, with growing pauses', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 1 });
  await world.start();
  await world.pass(300_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
  const status = world.controller.status({ namespace: NAMESPACE });
  t.regex(status.failure ?? '', /did not come up within 300 s/);
  t.true((status.retryInMs ?? 0) > 0);
  await world.pass(5_000);
  t.deepEqual(world.drivers.created, ['d1', 'd2']);
  world.drivers.show('d2', 'ended', 'Java is missing.');
  await world.pass(9_000);
  t.deepEqual(world.drivers.deleted, ['d1', 'd2']);
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, 'Java is missing.');
  t.is(world.drivers.created.length, 2, 'the second pause is twice as long');
  await world.pass(2_000);
  t.is(world.drivers.created.length, 3);
  await world.allReady();
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, undefined);
});

test('a request that can never become a driver is deleted and its reason shown', async (t) => {
  const world = new PoolWorld();
  world.drivers.showsCreated = false;
  await world.start();
  const request = world.drivers.requests.get('d1');
  if (request) world.drivers.requests.set('d1', { ...request, failure: 'image not found' });
  world.drivers.changed();
  await world.pass();
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, 'image not found');
});

test('a creation that is refused is shown and tried again later', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 1 });
  world.drivers.createFailures.push(new Error('quota exceeded'));
  await world.start();
  t.deepEqual(world.drivers.created, []);
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, 'quota exceeded');
  await world.pass(6_000);
  t.is(world.drivers.created.length, 1);
});

test('a deletion that fails is tried again', async (t) => {
  const world = await warmWorld();
  world.drivers.deleteFailures.push(new Error('busy'), new Error('busy'));
  await world.assign('uid-of-d1', sessionId(1));
  await world.release('uid-of-d1', sessionId(1));
  t.is(world.phaseOf('uid-of-d1'), 'expired');
  await world.pass(2_000);
  t.deepEqual(world.drivers.deleted, []);
  await world.pass(15_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
});

test('a driver that ended takes its sessions with it and is replaced', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.show('d1', 'ended', 'It ran out of memory.');
  await world.pass();
  const record = world.ledger.get('uid-of-d1');
  t.is(record?.phase, 'gone');
  t.is(record?.reason, 'It ran out of memory.');
  t.is(record?.tombstones[sessionId(1)]?.end, 'driver_gone');
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, undefined, 'it had come up');
});

test('a driver that was restarted under its uid is another driver', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.set('uid-of-d1', { instance: 'another' });
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'gone');
  t.deepEqual(world.drivers.deleted, ['d1']);
});

test('a driver that is given up takes room in its pool until it is deleted', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 2, maximum: 2 });
  await world.start();
  await world.allReady();
  world.drivers.deleteFailures.push(new Error('busy'));
  world.drivers.set('uid-of-d1', { instance: 'another' });
  await world.pass(1_000);
  t.is(world.drivers.created.length, 2);
  await world.pass(5_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.drivers.created.length, 3);
});

test('a driver that does not answer keeps its sessions and its place, but takes no new session', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  await world.allReady();
  world.drivers.show('d1', 'not_ready');
  world.drivers.show('d2', 'not_ready');
  await world.pass(120_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.is(world.phaseOf('uid-of-d2'), 'available');
  t.deepEqual(
    world.fleet.published.map(({ uid, draining }) => [uid, draining]),
    [
      ['uid-of-d1', true],
      ['uid-of-d2', true],
      ['uid-of-d3', false],
    ],
  );
  t.is(world.drivers.created.length, 3);
  world.drivers.show('d1', 'ready');
  await world.pass();
  t.false(world.fleet.published[0]?.draining);
});

test('an idle driver that has stopped answering for good is replaced', async (t) => {
  const world = await warmWorld();
  world.drivers.show('d1', 'not_ready');
  await world.pass(301_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.drivers.created.length, 3);
});

test('a driver that is being ended stays routable until it has ended', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.show('d1', 'terminating');
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'draining');
  t.true(world.fleet.published.find(({ uid }) => uid === 'uid-of-d1')?.draining);
  world.drivers.remove('uid-of-d1');
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'gone');
});

test('while discovery cannot be read nothing changes', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  await world.allReady();
  const before = JSON.stringify(world.records());
  world.drivers.observed.clear();
  world.drivers.unreadable = new Error('API server away');
  world.drivers.changed();
  await world.pass(3_600_000);
  t.is(JSON.stringify(world.records()), before);
  t.is(world.fleet.uids.length, 3);
  t.is(world.controller.report().readError, 'API server away');
  world.drivers.unreadable = undefined;
  await world.pass(8_000);
  t.is(world.phaseOf('uid-of-d1'), 'gone');
  t.is(world.controller.report().readError, undefined);
});

test('a restarted control plane adopts drivers and requests, and publishes before it has read', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.unreadable = new Error('not yet');
  await world.start();
  t.deepEqual(world.fleet.uids, ['uid-of-d1', 'uid-of-d2']);
  t.is(world.ledger.bySession(sessionId(1))?.phase, 'in_use');
  world.drivers.unreadable = undefined;
  await world.pass(1_000);
  await world.allReady();
  t.is(world.drivers.created.length, 3);
  t.deepEqual(world.drivers.deleted, []);
  t.is(world.records('available').length, 2);
});

test('a request that was made just before a crash is used, not made again', async (t) => {
  const world = new PoolWorld();
  for (const resource of ['x', 'y']) {
    world.drivers.requests.set(resource, {
      resource,
      namespace: NAMESPACE,
      createdAtMs: world.clock.now(),
    });
  }
  await world.start();
  t.deepEqual(world.drivers.created, []);
  for (const resource of ['x', 'y']) world.drivers.show(resource, 'ready');
  await world.pass();
  t.is(world.records('available').length, 2);
});

test('drivers of a namespace whose pool was removed end when they have no session', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  await world.allReady();
  world.pools.clear();
  world.controller.trigger();
  await world.pass();
  t.deepEqual(world.drivers.deleted.toSorted(), ['d2', 'd3']);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  await world.release('uid-of-d1', sessionId(1));
  t.true(world.drivers.deleted.includes('d1'));
});

test('a follower writes and makes nothing', async (t) => {
  const world = await warmWorld();
  world.leadership.held = undefined;
  const writes = world.store.writes;
  world.drivers.show('d1', 'ended');
  await world.pass(60_000);
  t.is(world.store.writes, writes);
  t.is(world.drivers.created.length, 2);
  t.deepEqual(world.drivers.deleted, []);
  t.deepEqual(world.fleet.uids, ['uid-of-d1', 'uid-of-d2']);
});

test('a follower shows the pools as the leader has recorded them', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.leadership.held = undefined;
  await world.start();
  const [pool] = world.controller.report().pools;
  t.like(pool, { size: 2, maximum: 4, drivers: 3, warming: 1, available: 1, inUse: 1 });
});

test('no driver is deleted before its record says so', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.store.pause();
  void world.release('uid-of-d1', sessionId(1));
  await world.pass(1_000);
  t.deepEqual(world.drivers.deleted, []);
  world.store.resume();
  await world.pass();
  t.deepEqual(world.drivers.deleted, ['d1']);
});

test('while records wait for a slow store, drivers that come up are published all the same', async (t) => {
  const world = new PoolWorld();
  world.drivers.showsCreated = false;
  await world.start();
  world.store.pause();
  world.drivers.show('d1', 'ready');
  await world.pass(1_000);
  t.deepEqual(world.fleet.uids, ['uid-of-d1']);
  world.drivers.show('d2', 'ready');
  await world.pass(1_000);
  t.deepEqual(world.fleet.uids, ['uid-of-d1', 'uid-of-d2']);
  t.is(world.store.records.size, 0);
  world.store.resume();
  await world.pass();
  const stored = [...world.store.records.values()].map(({ record }) => record.phase);
  t.deepEqual(stored, ['available', 'available']);
});

test('records that cannot be written are a problem until they can, and nothing follows from them', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.store.outcomes.push('ok', ...Array.from({ length: 50 }, () => 'lost' as const));
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(1_000);
  t.deepEqual(world.drivers.deleted, []);
  t.deepEqual(
    world.controller.problems().map(({ kind }) => kind),
    ['records_unwritable'],
  );
  world.store.outcomes.length = 0;
  await world.pass(2_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.deepEqual(world.controller.problems(), []);
});

test('a replica that does not lead any more has no problem with writing', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.store.outcomes.push('ok', ...Array.from({ length: 50 }, () => 'lost' as const));
  await world.release('uid-of-d1', sessionId(1));
  t.is(world.controller.problems().length, 1);
  world.leadership.held = undefined;
  await world.pass(2_000);
  t.deepEqual(world.controller.problems(), []);
});

test('a driver that is to be made later is no failure, and is made then', async (t) => {
  const world = new PoolWorld();
  const retryAfterMs = 10_000;
  const later = new GatewayError('DRIVER_START_FAILED', 'Too many requests.', { retryAfterMs });
  world.drivers.createFailures.push(later, later);
  await world.start();
  await world.pass(9_000);
  t.deepEqual(world.drivers.created, []);
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, undefined);
  t.deepEqual(world.controller.problems(), []);
  await world.pass(2_000);
  t.is(world.drivers.created.length, 2);
});

test('a leader that loses its term, and a pool that goes, take their failures with them', async (t) => {
  const world = new PoolWorld();
  world.drivers.createFailures.push(new Error('quota'), new Error('quota'));
  await world.start();
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, 'quota');
  world.leadership.held = undefined;
  await world.pass(60_000);
  t.deepEqual(world.controller.problems(), []);
  world.leadership.held = 2;
  world.drivers.createFailures.push(new Error('quota'), new Error('quota'));
  await world.pass(60_000);
  t.is(world.controller.problems()[0]?.kind, 'pool_failing');
  world.pools.clear();
  await world.pass(60_000);
  t.deepEqual(world.controller.problems(), []);
});
