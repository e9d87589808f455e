import test from 'ava';
import { sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

const ADS = 'sjns-ads-dev';
const ETL = 'sjns-etl-dev';
const HOUR_MS = 3_600_000;

async function twoPools(): Promise<PoolWorld> {
  const world = new PoolWorld();
  world.pools.set(ETL, POOL);
  await world.start();
  await world.allReady();
  return world;
}

const byNamespace = (world: PoolWorld, namespace: string) =>
  world.records().filter((record) => record.namespace === namespace);

test('a namespace that cannot be read stops no other', async (t) => {
  const world = await twoPools();
  world.drivers.unreadableNamespaces.add(ADS);
  const created = world.drivers.created.length;
  world.demand.set(ETL, 1);
  world.demand.set(ADS, 1);
  await world.allReady();
  t.is(world.drivers.created.length, created + 1);
  t.is(byNamespace(world, ETL).length, 3);
  t.is(byNamespace(world, ADS).length, 2, 'nothing is made where it cannot be told what exists');
});

test('of drivers in doubt nothing is concluded, however long it lasts', async (t) => {
  const world = await twoPools();
  world.pools.set(ADS, { ...POOL, onDriverLoss: { startReplacement: true, endAfterMs: 60_000 } });
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.unreadableNamespaces.add(ADS);
  for (const { uid } of byNamespace(world, ADS)) {
    world.drivers.set(uid, { condition: 'in_doubt' });
  }
  const before = JSON.stringify(byNamespace(world, ADS));
  const created = world.drivers.created.length;
  await world.pass(24 * HOUR_MS);
  t.is(JSON.stringify(byNamespace(world, ADS)), before);
  t.is(world.drivers.created.length, created);
  t.deepEqual(world.drivers.deleted, []);
  t.true(world.fleet.uids.includes('uid-of-d1'), 'its session may still be answered');
});

test('a driver that was on its way when its namespace became unreadable is neither late nor lost', async (t) => {
  const world = new PoolWorld();
  world.drivers.showsCreated = false;
  await world.start();
  world.drivers.unreadableNamespaces.add(ADS);
  await world.pass(HOUR_MS);
  t.deepEqual([world.drivers.created.length, world.drivers.deleted], [2, []]);
  world.drivers.unreadableNamespaces.clear();
  for (const resource of world.drivers.requests.keys()) world.drivers.show(resource, 'ready');
  await world.pass(60_000);
  t.is(world.records('available').length, 2);
});

test('silence is counted from when the driver last answered, and a doubt in between changes nothing', async (t) => {
  const world = new PoolWorld();
  world.pools.set(ADS, { ...POOL, onDriverLoss: { startReplacement: false, endAfterMs: 600_000 } });
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  const silentSinceMs = world.clock.now();
  world.drivers.set('uid-of-d1', { condition: 'not_ready', silentSinceMs });
  await world.pass(300_000);
  world.drivers.set('uid-of-d1', { condition: 'in_doubt' });
  await world.pass(900_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  world.drivers.set('uid-of-d1', { condition: 'not_ready', silentSinceMs });
  await world.pass();
  t.not(world.phaseOf('uid-of-d1'), 'in_use');
});
