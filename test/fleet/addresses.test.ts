import test from 'ava';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { PoolWorld, POOL } from '../support/pool-world.js';

/** A world with drivers that someone else runs, and no pool. */
async function staticWorld(): Promise<PoolWorld> {
  const world = new PoolWorld();
  world.pools.clear();
  await world.start();
  return world;
}

test('drivers that someone else runs follow their sessions and are never made or deleted', async (t) => {
  const world = await staticWorld();
  world.drivers.set('etl', { condition: 'starting' });
  await world.pass();
  t.is(world.phaseOf('etl'), 'warming');
  world.drivers.set('etl', { condition: 'ready' });
  await world.pass();
  t.is(world.phaseOf('etl'), 'available');
  await world.assign('etl', sessionId(1));
  await world.release('etl', sessionId(1));
  await world.pass(3_600_000);
  t.is(world.phaseOf('etl'), 'available');
  t.deepEqual([world.drivers.created, world.drivers.deleted], [[], []]);
});

test('of two drivers with one address, the one that had it first is published', async (t) => {
  const world = await staticWorld();
  world.drivers.set('first', { address: '10.9.9.9' });
  await world.pass();
  world.drivers.set('a-second', { address: '10.9.9.9' });
  await world.pass(10_000);
  t.deepEqual(world.fleet.uids, ['first']);
  t.is(world.phaseOf('a-second'), 'warming');
  t.regex(world.ledger.get('a-second')?.reason ?? '', /10\.9\.9\.9:15002 is held by driver first/);
  t.true(
    world.controller.problems().some(({ message }) => message.includes('held by driver first')),
  );
});

test('an address is given on only when no Envoy and no sidecar can still use it', async (t) => {
  const world = await staticWorld();
  await world.pass(60_000);
  world.drivers.set('old', { address: '10.9.9.9' });
  await world.pass();
  await world.assign('old', sessionId(1));
  world.fleet.acknowledges = false;
  world.caches.remembered.add('old');
  world.drivers.remove('old');
  world.drivers.set('new', { address: '10.9.9.9' });
  await world.pass(10_000);
  t.deepEqual(world.fleet.uids, []);
  world.fleet.acknowledge();
  await world.pass(10_000);
  t.deepEqual(world.fleet.uids, [], 'a sidecar remembers it');
  world.fleet.acknowledges = true;
  world.caches.forget('old');
  await world.pass();
  t.deepEqual(world.fleet.uids, ['new']);
  t.is(world.phaseOf('new'), 'available');
  t.is(world.ledger.bySession(sessionId(1))?.uid, 'old', 'the ended session is still known');
});

test('after a restart an address rests until sidecars that were cut off have surely forgotten', async (t) => {
  const world = await staticWorld();
  world.drivers.set('old', { address: '10.9.9.9' });
  await world.pass();
  await world.assign('old', sessionId(1));
  world.drivers.observed.clear();
  world.drivers.set('new', { address: '10.9.9.9' });
  await world.start({ addressQuietMs: 60_000 });
  await world.pass(59_000);
  t.deepEqual(world.fleet.uids, []);
  t.regex(world.ledger.get('new')?.reason ?? '', /not yet forgotten/);
  await world.pass(2_000);
  t.deepEqual(world.fleet.uids, ['new']);
});

test('entries that make no sense are left out and reported; a known driver is not ended by one', async (t) => {
  const world = await staticWorld();
  world.drivers.set('good', {});
  await world.pass();
  world.drivers.set('named', { address: 'spark.example' });
  world.drivers.set('portless', { port: 0 });
  world.drivers.set('good', { port: 70_000 });
  await world.pass(60_000);
  t.deepEqual(world.fleet.uids, ['good']);
  t.is(world.phaseOf('good'), 'available');
  t.is(world.phaseOf('named'), 'no record');
  const messages = world.controller.problems().map(({ message }) => message);
  t.deepEqual(messages.toSorted(), [
    'Driver good in sjns-ads-dev is left out: 70000 is not a port.',
    'Driver named in sjns-ads-dev is left out: "spark.example" is not an IP address.',
    'Driver portless in sjns-ads-dev is left out: 0 is not a port.',
  ]);
});

test('a uid that two sources report is neither believed nor ended', async (t) => {
  const world = await staticWorld();
  world.drivers.set('twice', {});
  await world.pass();
  const { source } = world.drivers;
  await world.start({ sources: [source, source] });
  await world.pass(60_000);
  t.is(world.phaseOf('twice'), 'available');
  t.deepEqual(world.fleet.uids, ['twice']);
});

test('IPv6 addresses are recorded in their canonical form', async (t) => {
  const world = await staticWorld();
  world.drivers.set('six', { address: '2001:DB8:0:0::0001' });
  await world.pass();
  t.is(world.ledger.get('six')?.address, '2001:db8::1');
  t.is(world.controller.report().drivers[0]?.address, '[2001:db8::1]:15002');
});

test('a driver that came back is taken again, and its ended sessions stay ended', async (t) => {
  const world = await staticWorld();
  await world.pass(60_000);
  world.drivers.set('etl', { address: '10.9.9.9' });
  await world.pass();
  await world.assign('etl', sessionId(1));
  world.drivers.set('etl', { instance: 'restarted' });
  await world.pass(1_000);
  const record = world.ledger.get('etl');
  t.is(record?.phase, 'available');
  t.is(record?.instance, 'restarted');
  t.is(record?.tenant, undefined);
  t.is(record?.tombstones[sessionId(1)]?.end, 'driver_gone');
});

test('a driver that moved without a restart keeps its sessions where they are and takes no more', async (t) => {
  const world = await staticWorld();
  world.drivers.set('etl', { address: '10.9.9.9' });
  await world.pass();
  await world.assign('etl', sessionId(1));
  world.drivers.set('etl', { address: '10.9.9.10' });
  await world.pass();
  t.is(world.phaseOf('etl'), 'draining');
  t.is(world.fleet.published[0]?.address, '10.9.9.9');
});

test('an operator drains a driver: it ends with its last session', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  await world.controller.drain('uid-of-d1', world.clock.now() + 600_000);
  await world.pass(60_000);
  t.is(world.phaseOf('uid-of-d1'), 'draining');
  t.true(world.fleet.published.find(({ uid }) => uid === 'uid-of-d1')?.draining);
  await world.release('uid-of-d1', sessionId(1));
  t.deepEqual(world.drivers.deleted, ['d1']);
});

test('a drained driver ends at its deadline, and its sessions are told so', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  await world.allReady();
  await world.controller.drain('uid-of-d1', world.clock.now() + 600_000);
  await world.pass(599_000);
  t.deepEqual(world.drivers.deleted, []);
  await world.pass(2_000);
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.ledger.bySession(sessionId(1))?.tombstones[sessionId(1)]?.end, 'evicted');
});

test('draining a driver that nobody knows is refused', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await t.throwsAsync(world.controller.drain('nobody', 0), { message: /no driver nobody/ });
});

test('the report shows drivers and pools as they are', async (t) => {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  world.demand.set(NAMESPACE, 1);
  const { pools, drivers } = world.controller.report();
  t.like(pools[0], {
    namespace: NAMESPACE,
    size: POOL.size,
    maximum: POOL.maximum,
    drivers: 3,
    available: 1,
    inUse: 1,
    warming: 1,
    waiting: 1,
    sessions: 1,
  });
  t.like(drivers[0], { uid: 'uid-of-d1', phase: 'in_use', routable: true, sessions: 1 });
  t.false(JSON.stringify(drivers).includes('token'));
});
