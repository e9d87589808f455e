import test from 'ava';
import { bob, NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

// Drivers that end.

const MINUTE_MS = 60_000;

async function warmWorld(pool = POOL): Promise<PoolWorld> {
  const world = new PoolWorld();
  world.pools.set(NAMESPACE, pool);
  await world.start();
  await world.allReady();
  return world;
}

test('a driver is asked to end once, and waited for', async (t) => {
  const world = await warmWorld();
  world.drivers.graceMs = 30_000;
  await world.assign('uid-of-d1', sessionId(1));
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(1_000);
  t.is(world.phaseOf('uid-of-d1'), 'ending');
  await world.pass(28_000);
  t.is(world.drivers.deletions.get('d1'), 1);
  t.is(world.phaseOf('uid-of-d1'), 'ending');
  await world.pass(2_000);
  t.is(world.phaseOf('uid-of-d1'), 'gone');
  t.is(world.drivers.deletions.get('d1'), 1);
});

test('a pod that stays for ever costs nothing, also under a new leader', async (t) => {
  const world = await warmWorld();
  world.drivers.graceMs = Infinity;
  await world.assign('uid-of-d1', sessionId(1));
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(60 * MINUTE_MS);
  t.is(world.drivers.deletions.get('d1'), 1);
  await world.start();
  await world.pass(60 * MINUTE_MS);
  t.is(world.drivers.deletions.get('d1'), 1);
  t.is(world.phaseOf('uid-of-d1'), 'ending');
});

test('what a deletion should have removed and did not is asked for again, with growing pauses', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.onDelete = () => {
    const request = world.drivers.requests.get('d1');
    queueMicrotask(() => request && world.drivers.requests.set('d1', request));
  };
  world.drivers.graceMs = Infinity;
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(60 * MINUTE_MS);
  const asked = world.drivers.deletions.get('d1') ?? 0;
  t.true(asked > 3 && asked < 30, `asked ${asked} times`);
});

test('a deletion that is refused again and again is tried with growing pauses', async (t) => {
  const world = await warmWorld();
  await world.assign('uid-of-d1', sessionId(1));
  for (let n = 0; n < 1_000; n += 1) world.drivers.deleteFailures.push(new Error('refused'));
  await world.release('uid-of-d1', sessionId(1));
  await world.pass(60 * MINUTE_MS);
  const asked = world.drivers.deletions.get('d1') ?? 0;
  t.true(asked > 3 && asked < 30, `asked ${asked} times`);
});

test('the sessions of a dead node end when the policy says so, whatever became of the pod', async (t) => {
  const loss = { startReplacement: false, endAfterMs: 10 * MINUTE_MS };
  const world = await warmWorld({ ...POOL, onDriverLoss: loss });
  await world.assign('uid-of-d1', sessionId(1));
  const silentSinceMs = world.clock.now();
  world.drivers.set('uid-of-d1', { condition: 'not_ready', silentSinceMs });
  await world.pass(6 * MINUTE_MS);
  world.drivers.set('uid-of-d1', { condition: 'terminating', silentSinceMs });
  world.drivers.graceMs = Infinity;
  await world.pass();
  t.is(world.phaseOf('uid-of-d1'), 'draining');
  t.truthy(world.ledger.bySession(sessionId(1))?.sessions[sessionId(1)]);
  await world.pass(3.9 * MINUTE_MS);
  t.truthy(world.ledger.bySession(sessionId(1))?.sessions[sessionId(1)]);
  await world.pass(MINUTE_MS);
  t.is(world.ledger.bySession(sessionId(1))?.tombstones[sessionId(1)]?.end, 'evicted');
  t.is(world.phaseOf('uid-of-d1'), 'ending');
});

test('a pod that is asked to end and still answers keeps its sessions', async (t) => {
  const loss = { startReplacement: false, endAfterMs: MINUTE_MS };
  const world = await warmWorld({ ...POOL, onDriverLoss: loss });
  await world.assign('uid-of-d1', sessionId(1));
  world.drivers.set('uid-of-d1', { condition: 'terminating' });
  await world.pass(60 * MINUTE_MS);
  t.truthy(world.ledger.bySession(sessionId(1))?.sessions[sessionId(1)]);
});

test('what is left of a dead node takes no room in its pool', async (t) => {
  const world = await warmWorld({ ...POOL, size: 2, maximum: 2 });
  world.drivers.graceMs = Infinity;
  for (const uid of ['uid-of-d1', 'uid-of-d2']) {
    world.drivers.set(uid, { condition: 'terminating', silentSinceMs: world.clock.now() });
  }
  await world.pass(MINUTE_MS);
  t.is(world.records('available').length, 0);
  for (const uid of ['uid-of-d1', 'uid-of-d2']) world.drivers.set(uid, { overdue: true });
  await world.allReady();
  await world.allReady();
  t.is(world.records('available').length, 2);
});

test('a driver that stands still before its session had an answer is given up, and the client is told', async (t) => {
  const world = new PoolWorld();
  const unanswered = new Set([sessionId(1)]);
  await world.start({ isUnanswered: (session) => unanswered.has(session.sessionId) });
  await world.allReady();
  await world.assign('uid-of-d1', sessionId(1));
  await world.assign('uid-of-d2', sessionId(2));
  const silentSinceMs = world.clock.now();
  for (const uid of ['uid-of-d1', 'uid-of-d2']) {
    world.drivers.set(uid, { condition: 'not_ready', silentSinceMs });
  }
  await world.pass(19_000);
  t.is(world.phaseOf('uid-of-d1'), 'in_use');
  await world.pass(2_000);
  t.is(world.ledger.bySession(sessionId(1))?.tombstones[sessionId(1)]?.end, 'driver_gone');
  t.deepEqual(world.drivers.deleted, ['d1']);
  t.is(world.phaseOf('uid-of-d2'), 'in_use', 'what has state is waited for');
});

// Drivers that are lost.

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

// Records that are lost.

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

// While it is in doubt what there is.

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
