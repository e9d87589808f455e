import test from 'ava';
import { bob, NAMESPACE, sessionId } from '../support/driver-records.js';
import { PoolWorld } from '../support/pool-world.js';

const MINUTE_MS = 60_000;

async function usedWorld(): Promise<PoolWorld> {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  await world.pass(60 * MINUTE_MS);
  await world.allReady();
  return world;
}

test('drivers whose records were lost are not late: they are drained, and never offered', async (t) => {
  const world = await usedWorld();
  const old = [...world.drivers.observed.keys()];
  world.store.records.clear();
  await world.start();
  await world.pass(MINUTE_MS);
  for (const uid of old) {
    t.is(world.phaseOf(uid), 'draining');
    t.regex(world.ledger.get(uid)?.reason ?? '', /record was lost/);
    t.true(world.fleet.uids.includes(uid), 'what runs on it goes on');
  }
  t.false(old.some((uid) => world.drivers.deleted.some((name) => world.drivers.uid(name) === uid)));
  await world.pass(10 * MINUTE_MS);
  await world.allReady();
  await world.allReady();
  t.deepEqual(
    old.filter((uid) => world.drivers.observed.has(uid)),
    [],
  );
  t.is(world.records('available').length, 2, 'the pool is as it should be');
});

test('a driver that comes up while its leader changes is waited for and offered', async (t) => {
  const world = new PoolWorld();
  await world.start();
  world.store.records.clear();
  await world.start();
  await world.pass();
  world.drivers.allReady();
  await world.pass();
  t.is(world.records('available').length, 2);
});

test('a record that the store loses under a running leader keeps its tenant', async (t) => {
  const world = await usedWorld();
  world.store.records.delete('uid-of-d1');
  await world.assign('uid-of-d1', sessionId(2), bob).catch(() => undefined);
  const record = world.ledger.get('uid-of-d1');
  t.truthy(record?.sessions[sessionId(1)]);
  t.is(record?.tenant?.principal.subject, 'alice');
  t.truthy(world.store.records.get('uid-of-d1')?.record.sessions[sessionId(1)]);
});

test('a follower goes on publishing drivers that are still seen when their records are gone, and a leader takes them over', async (t) => {
  const world = await usedWorld();
  world.leadership.held = undefined;
  await world.pass(MINUTE_MS);
  const before = world.fleet.uids.toSorted();
  await world.loseRecords();
  await world.pass(MINUTE_MS);
  t.deepEqual(world.fleet.uids.toSorted(), before);
  world.drivers.remove('uid-of-d2');
  await world.pass(MINUTE_MS);
  t.false(world.fleet.uids.includes('uid-of-d2'), 'what is gone goes');
  world.leadership.held = 2;
  await world.pass(MINUTE_MS);
  const record = world.ledger.get('uid-of-d1');
  t.like(record, { namespace: NAMESPACE, phase: 'in_use' });
  t.truthy(record?.sessions[sessionId(1)]);
});
