import test from 'ava';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

test('a new template replaces idle drivers one by one and never leaves the pool short', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  world.drivers.changeTemplate();
  await world.pass();
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3']);
  t.deepEqual(world.drivers.deleted, [], 'nothing goes before the new one answers');
  for (let step = 0; step < 4; step += 1) {
    await world.allReady();
    await world.pass();
    t.true(world.records('available').length >= POOL.size);
  }
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3', 'd4']);
  t.deepEqual(world.drivers.deleted, ['d1', 'd2']);
});

test('a new template leaves drivers with sessions alone', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.changeTemplate();
  for (let step = 0; step < 6; step += 1) await world.allReady();
  t.false(world.drivers.deleted.includes('d1'));
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.true(world.drivers.deleted.includes('d2'));
});

test('a pool at its maximum gives up one idle driver at a time for the new template', async (t) => {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 2, maximum: 2 });
  await world.start();
  await world.allReady();
  world.drivers.changeTemplate();
  await world.pass();
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.deepEqual(world.drivers.created, ['d1', 'd2', 'd3']);
  await world.pass(60_000);
  t.deepEqual(world.drivers.deleted, ['d1'], 'the next one waits for the new one');
  await world.allReady();
  await world.pass();
  t.deepEqual(world.drivers.deleted, ['d1', 'd2']);
});

test('a driver that is not seen while its cluster cannot be read is not gone', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.inDoubt = true;
  world.drivers.remove('uid-of-d1');
  await world.pass(60_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.true(world.fleet.uids.includes('uid-of-d1'));
  world.drivers.inDoubt = false;
  world.drivers.changed();
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'gone');
});

test('a rollout that failed goes on when the template changes again', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  world.drivers.createFailures.push(new Error('no such image'));
  world.drivers.changeTemplate();
  await world.pass();
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, 'no such image');
  t.deepEqual(world.drivers.deleted, [], 'a template that fails costs no driver that works');
  world.drivers.changeTemplate();
  for (let step = 0; step < 6; step += 1) await world.allReady();
  t.is(world.controller.status({ namespace: NAMESPACE }).failure, undefined);
  t.deepEqual(world.drivers.deleted.toSorted(), ['d1', 'd2']);
  t.is(world.records('available').length, POOL.size);
});
