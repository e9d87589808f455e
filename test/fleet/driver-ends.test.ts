import test from 'ava';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

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
