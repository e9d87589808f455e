import test from 'ava';
import type { PoolSchedule } from '../../src/model/policy.js';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

/** The size changes at each of these moments. */
function steps(usual: number, ...changes: readonly (readonly [number, number])[]): PoolSchedule {
  return {
    times: [],
    at(nowMs) {
      const size = changes.findLast(([atMs]) => atMs <= nowMs)?.[1] ?? usual;
      const next = changes.find(([atMs]) => atMs > nowMs)?.[0];
      return { size, maximum: 4, untilMs: next ?? nowMs + 7 * 86_400_000 };
    },
  };
}

test('a pool is filled at the moment at which its time begins', async (t) => {
  const world = new PoolWorld();
  const beginsMs = world.clock.now() + 7_300;
  world.pools.set(NAMESPACE, { ...POOL, size: 2, schedule: steps(0, [beginsMs, 3]) });
  await world.start();
  await world.pass(7_100);
  t.deepEqual(world.drivers.created, []);
  await world.pass(200);
  t.is(world.drivers.created.length, 3);
  t.is(world.controller.report().pools[0]?.size, 3);
});

test('when its time ends, idle drivers go and those with sessions stay', async (t) => {
  const world = new PoolWorld();
  const endsMs = world.clock.now() + 3_600_000;
  world.pools.set(NAMESPACE, { ...POOL, size: 2, schedule: steps(3, [endsMs, 0]) });
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  await world.allReady();
  t.is(world.records('available').length, 3);
  await world.pass(endsMs - world.clock.now() - 1_000);
  t.is(world.records('available').length, 3);
  await world.pass(2_000);
  t.is(world.records('available').length, 0);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  t.false(world.drivers.deleted.includes('d1'));
});
