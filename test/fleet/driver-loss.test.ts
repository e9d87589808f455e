import test from 'ava';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

async function lossyWorld(onDriverLoss: {
  readonly endAfterMs: number | undefined;
  readonly startReplacement: boolean;
}) {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, { ...POOL, size: 1, onDriverLoss });
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  await world.allReady();
  return world;
}

const ended = (world: PoolWorld) =>
  world.ledger.bySession(sessionId(1))?.tombstones[sessionId(1)]?.end;

test('a driver with sessions that does not answer is ended when the policy’s time has passed', async (t) => {
  const world = await lossyWorld({ endAfterMs: 60_000, startReplacement: false });
  world.drivers.set('uid-of-d1', { condition: 'not_ready' });
  await world.pass(59_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.is(ended(world), undefined);
  await world.pass(2_000);
  t.is(ended(world), 'evicted');
  t.deepEqual(world.drivers.deleted, ['d1']);
});

test('one that answers again in time keeps its sessions', async (t) => {
  const world = await lossyWorld({ endAfterMs: 60_000, startReplacement: false });
  world.drivers.set('uid-of-d1', { condition: 'not_ready' });
  await world.pass(59_000);
  world.drivers.set('uid-of-d1', { condition: 'ready' });
  await world.pass(1_000);
  world.drivers.set('uid-of-d1', { condition: 'not_ready' });
  await world.pass(59_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.is(ended(world), undefined);
});

test('without such a time it is waited for, however long', async (t) => {
  const world = await lossyWorld({ endAfterMs: undefined, startReplacement: false });
  world.drivers.set('uid-of-d1', { condition: 'not_ready' });
  await world.pass(86_400_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.is(ended(world), undefined);
  t.is(world.drivers.created.length, 2);
});

test('a driver that someone else runs is not ended', async (t) => {
  const world = await lossyWorld({ endAfterMs: 60_000, startReplacement: false });
  world.drivers.set('theirs', {});
  await world.pass();
  await world.assign('theirs', sessionId(2));
  world.drivers.set('theirs', { condition: 'not_ready' });
  await world.pass(600_000);
  t.is(world.phaseOf('theirs'), 'in_use');
});

test('where the policy says so, a driver is made ready for those who may lose theirs', async (t) => {
  const world = await lossyWorld({ endAfterMs: undefined, startReplacement: true });
  t.is(world.drivers.created.length, 2);
  world.drivers.set('uid-of-d1', { condition: 'not_ready' });
  await world.allReady();
  t.is(world.drivers.created.length, 3);
  t.is(world.records('available').length, 2);
  await world.pass(60_000);
  t.is(world.drivers.created.length, 3, 'one, however long it lasts');
  world.drivers.set('uid-of-d1', { condition: 'ready' });
  await world.pass(POOL.idleTtlMs ?? 0);
  await world.pass(1_000);
  t.is(world.records('available').length, 1);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
});
