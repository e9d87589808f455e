import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { LeaderOperations } from '../../src/processes/leader.js';
import { openShadowPolicy } from '../../src/processes/role-policy.js';
import { type SessionAddress, SessionExpiry } from '../../src/sessions/expiry.js';
import { HEAD, options } from '../policy/support.js';
import { alice, sessionId } from '../support/driver-records.js';
import { PoolWorld } from '../support/pool-world.js';
import { Signal } from '../support/signal.js';
import { WatchedClock } from '../support/watched-clock.js';

// Operations.

/** A pool with a driver that has a session, and what an operator can do with it. */
async function setUp(t: ExecutionContext) {
  const world = new PoolWorld();
  await world.start();
  await world.allReady();
  const { clock, leadership, ledger, controller } = world;
  const logger = pino({ enabled: false });
  const released: SessionAddress[] = [];
  const sessions = new SessionExpiry({
    ledger,
    leadership,
    observations: controller,
    sparkConnect: {
      status: async () => 'idle',
      release: async (session) => released.push(session) > 0,
    },
    clock,
    logger,
    sessionTtlMs: 1_800_000,
    tombstoneTtlMs: 1_800_000,
  });
  const asked: unknown[] = [];
  const operations = new LeaderOperations({
    ledger,
    pools: controller,
    sessions,
    records: {
      askDrain: async (...drain) => void asked.push(drain),
      askUndrain: async (driver) => void asked.push(['undrain', driver]),
    },
    clock,
    logger,
  });
  const [driver] = world.records('available');
  if (!driver) throw new Error('no driver is available');
  await world.assign(driver.uid, sessionId(1));
  t.teardown(() => controller.stop());
  return { world, operations, uid: driver.uid, released, asked };
}

test('a drained driver keeps its session and ends when that leaves', async (t) => {
  const { world, operations, uid, asked } = await setUp(t);
  t.deepEqual(await operations.drain(uid, undefined, alice), {
    uid,
    phase: 'draining',
    sessions: 1,
    drainDeadlineMs: undefined,
  });
  t.deepEqual(await operations.drain(uid, undefined, alice), {
    uid,
    phase: 'draining',
    sessions: 1,
    drainDeadlineMs: undefined,
  });
  t.deepEqual(asked[0], [uid, undefined], 'the store says the same');
  await world.release(uid, sessionId(1));
  await world.allReady();
  t.is(world.phaseOf(uid), 'gone');
});

test('a drain is taken back: the driver goes on, and takes sessions again when it is idle', async (t) => {
  const { world, operations, uid, asked } = await setUp(t);
  await operations.drain(uid, world.clock.now() + 60_000, alice);
  t.deepEqual(await operations.undrain(uid, alice), {
    uid,
    phase: 'in_use',
    sessions: 1,
    drainDeadlineMs: undefined,
  });
  t.deepEqual(asked.at(-1), ['undrain', uid], 'the store says the same');
  t.is(world.ledger.get(uid)?.reason, undefined);
  await world.clock.advance(61_000);
  await world.pass();
  t.is(world.phaseOf(uid), 'in_use', 'the deadline is forgotten');
  const before = asked.length;
  t.like(await operations.undrain(uid, alice), { phase: 'in_use' });
  t.is(asked.length, before, 'nothing is left to take back');
});

test('a driver that ends already is not taken back', async (t) => {
  const { world, operations, uid } = await setUp(t);
  await operations.evict(uid, alice);
  await world.pass();
  await t.throwsAsync(operations.undrain(uid, alice), { message: /ends already|no driver/ });
  await t.throwsAsync(operations.undrain('nobody', alice), { code: 'DRIVER_UNKNOWN' });
});

test('an evicted driver ends with its sessions, which the driver is told of', async (t) => {
  const { world, operations, uid, released } = await setUp(t);
  t.like(await operations.evict(uid, alice), { uid, sessions: 0 });
  t.is(world.ledger.get(uid)?.tombstones[sessionId(1)]?.end, 'evicted');
  t.deepEqual(
    released.map((session) => session.sessionId),
    [sessionId(1)],
  );
  await world.allReady();
  t.like(await operations.evict(uid, alice), { uid, phase: 'gone', sessions: 0 });
});

test('a released session has ended for good, and its driver is told', async (t) => {
  const { world, operations, uid, released } = await setUp(t);
  const first = await operations.release(sessionId(1), alice);
  t.like(first, { sessionId: sessionId(1), driverUid: uid, end: 'released' });
  t.is(released.length, 1);
  await world.pass();
  t.deepEqual(await operations.release(sessionId(1), alice), first);
  t.is(released.length, 1);
});

test('what does not exist is refused', async (t) => {
  const { operations } = await setUp(t);
  await t.throwsAsync(operations.drain('nobody', undefined, alice), { code: 'DRIVER_UNKNOWN' });
  await t.throwsAsync(operations.evict('nobody', alice), { code: 'DRIVER_UNKNOWN' });
  await t.throwsAsync(operations.release(sessionId(9), alice), { code: 'SESSION_UNKNOWN' });
});

test('when the store cannot be asked, nothing is drained and the operator is told to try again', async (t) => {
  const { world, uid } = await setUp(t);
  const { clock, ledger, controller } = world;
  const operations = new LeaderOperations({
    ledger,
    pools: controller,
    sessions: { end: () => Promise.reject(new Error('is not to be asked')) },
    records: { askDrain: () => Promise.reject(new Error('connect ECONNREFUSED')) },
    clock,
    logger: pino({ enabled: false }),
  });
  await t.throwsAsync(operations.evict(uid, alice), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
    message: /ECONNREFUSED/,
  });
  t.is(world.phaseOf(uid), 'in_use');
});

// The policy in shadow mode.

const LOOK_AGAIN_MS = 5_000;
/** When what was begun before has been taken note of. */
const afterwards = () => new Promise((resolve) => setImmediate(resolve));
const GOOD = `${HEAD}access: []\n`;

async function shadowWorld(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'shadow-'));
  const clock = new WatchedClock();
  const logged = new Signal<Record<string, unknown>>();
  const logger = pino(
    {},
    { write: (line) => logged.emit(JSON.parse(line) as Record<string, unknown>) },
  );
  const path = join(folder, 'next.yaml');
  const open = (file: string | undefined) => {
    const shadow = openShadowPolicy(file, { compile: options, clock, logger });
    t.teardown(() => shadow.close());
    return shadow;
  };
  t.teardown(() => rm(folder, { recursive: true }));
  return { clock, logged, path, open };
}

test('without a file nothing is tried out', async (t) => {
  const shadow = (await shadowWorld(t)).open(undefined);
  t.is(shadow.current(), undefined);
  t.is(shadow.status(), undefined);
});

test('a file that comes later, and is bad at first, is tried out when it is good', async (t) => {
  const { clock, logged, path, open } = await shadowWorld(t);
  const shadow = open(path);
  t.regex(String((await logged.next())['error']), /cannot be read: ENOENT/);
  t.regex(shadow.status()?.problem ?? '', /ENOENT/);
  await clock.timer(LOOK_AGAIN_MS);

  await writeFile(path, `${GOOD}nonsense: 1\n`);
  await clock.advance(LOOK_AGAIN_MS);
  t.regex(String((await logged.next())['error']), /next\.yaml:5:1: "nonsense" is no field/);
  t.is(shadow.current(), undefined);
  t.is(shadow.status()?.version, undefined);
  await clock.timer(LOOK_AGAIN_MS);

  await writeFile(path, GOOD);
  await clock.advance(LOOK_AGAIN_MS);
  const loaded = await logged.next();
  t.like(loaded, { msg: 'policy loaded', policy: 'shadow' });
  await clock.timer(LOOK_AGAIN_MS);
  await afterwards();
  t.is(shadow.current()?.version, String(loaded['version']));
  t.deepEqual(shadow.status(), { version: shadow.current()?.version, problem: undefined });
});

test('one that turns bad is still tried out as it was, and its mistake is told once', async (t) => {
  const { clock, logged, path, open } = await shadowWorld(t);
  await writeFile(path, GOOD);
  const shadow = open(path);
  const version = String((await logged.next())['version']);
  await clock.timer(LOOK_AGAIN_MS);
  await afterwards();
  await writeFile(path, 'half a po');
  await clock.advance(LOOK_AGAIN_MS);
  t.regex(String((await logged.next())['error']), /next\.yaml:1:1: /);
  t.is(shadow.current()?.version, version);
  t.is(shadow.status()?.version, version);
  t.regex(shadow.status()?.problem ?? '', /next\.yaml:1:1: /);
});

test('closed while it waits for its file, it looks no more', async (t) => {
  const { clock, logged, path, open } = await shadowWorld(t);
  const shadow = open(path);
  await logged.next();
  await clock.timer(LOOK_AGAIN_MS);
  shadow.close();
  await writeFile(path, GOOD);
  await clock.advance(10 * LOOK_AGAIN_MS);
  t.is(shadow.current(), undefined);
  t.is(logged.waiting, 0);
});
