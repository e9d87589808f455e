import test from 'ava';
import * as fc from 'fast-check';
import { Background } from '../../src/fleet/factory-calls.js';
import { routing } from '../../src/fleet/routing.js';
import { type DriverRecord, hostPort, type ObservedDriver } from '../../src/model/driver.js';
import type { PoolSchedule } from '../../src/model/policy.js';
import { alice, driverRecord, NAMESPACE, sessionId } from '../support/driver-records.js';
import { ManualClock, settle } from '../support/manual-clock.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

// What requests are routed to.

const seen = (record: DriverRecord): ObservedDriver => ({ ...record, condition: 'ready' });

/** What Envoy is told of these records, all of which are seen ready. */
function route(
  records: readonly DriverRecord[],
  holders: Readonly<Record<string, string>> = {},
  forgotten: (gone: DriverRecord) => boolean = () => true,
) {
  const byUid = new Map(records.map((record) => [record.uid, seen(record)]));
  const { routable, withheld, duplicated } = routing(
    records,
    (uid) => byUid.get(uid),
    forgotten,
    ({ address, port }) => holders[hostPort(address, port)],
  );
  return {
    uids: routable.map(({ uid }) => uid),
    withheld: [...withheld.keys()],
    duplicated: [...duplicated],
  };
}

const at = (uid: string, address: string, fields: Partial<DriverRecord> = {}) =>
  driverRecord(uid, { address, ...fields });

test('who is published at an address keeps it, whoever claims it', (t) => {
  const records = [
    at('a', '10.0.0.1', { createdAtMs: 1, tenant: { principal: alice, team: 'ads' } }),
    at('b', '10.0.0.1', { createdAtMs: 2, phase: 'warming' }),
  ];
  t.deepEqual(route(records, { '10.0.0.1:15002': 'b' }), {
    uids: ['b'],
    withheld: ['a'],
    duplicated: ['a'],
  });
});

test('an address waits until every Envoy has forgotten who had it', (t) => {
  const records = [at('new', '10.0.0.1', { phase: 'warming' })];
  t.deepEqual(route(records, { '10.0.0.1:15002': 'old' }).withheld, ['new']);
  t.deepEqual(route(records).uids, ['new']);
});

test('a driver that comes back to its own address need not wait', (t) => {
  const records = [at('a', '10.0.0.1', { phase: 'warming' })];
  t.deepEqual(route(records, { '10.0.0.1:15002': 'a' }).uids, ['a']);
});

test('an address waits until sidecars have forgotten the driver that is gone', (t) => {
  const records = [
    at('old', '10.0.0.1', { phase: 'gone' }),
    at('new', '10.0.0.1', { phase: 'warming' }),
  ];
  t.deepEqual(route(records, {}, () => false).withheld, ['new']);
  t.deepEqual(route(records).uids, ['new']);
});

test('no two routable drivers ever share an address, none is at another’s, and every driver is accounted for', (t) => {
  const uid = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3');
  const phase = fc.constantFrom<DriverRecord['phase']>(
    'warming',
    'available',
    'draining',
    'ending',
  );
  const claim = fc.record({ uid, address, phase, createdAtMs: fc.nat(5) });
  const held = fc
    .array(fc.tuple(address, uid), { maxLength: 3 })
    .map((entries) => Object.fromEntries(entries.map(([ip, owner]) => [`${ip}:15002`, owner])));
  fc.assert(
    fc.property(fc.uniqueArray(claim, { selector: (one) => one.uid }), held, (claims, holders) => {
      const records = claims.map(({ uid: id, address: ip, ...fields }) => at(id, ip, fields));
      const { uids, withheld } = route(records, holders);
      const addresses = records.filter((one) => uids.includes(one.uid)).map((one) => one.address);
      t.is(new Set(addresses).size, addresses.length);
      t.is(uids.length + withheld.length, records.length);
      for (const record of records.filter((one) => uids.includes(one.uid))) {
        t.true([record.uid, undefined].includes(holders[`${record.address}:15002`]));
      }
    }),
  );
});

// Pools by the clock.

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

// Calls in the background.

/** Forty calls, of which as many as may be have begun and go on until `finish`. */
async function setUp() {
  const background = new Background(new ManualClock(), () => undefined);
  let allowed = true;
  let begun = 0;
  const ends: (() => void)[] = [];
  for (let n = 0; n < 40; n += 1) {
    background.start(
      { resource: `d${n}`, namespace: 'ns' },
      () => {
        begun += 1;
        return new Promise<void>((resolve) => ends.push(resolve));
      },
      () => allowed,
      () => undefined,
    );
  }
  await settle();
  return {
    background,
    begun: () => begun,
    forbid: () => (allowed = false),
    finish: async () => {
      for (const end of ends.splice(0)) end();
      await settle();
    },
  };
}

test('calls beyond so many wait for their turn, and count as under way', async (t) => {
  const { background, begun, finish } = await setUp();
  t.is(begun(), 32);
  t.is(background.resources().length, 40);
  await finish();
  t.is(begun(), 40);
});

test('a call whose turn comes when it is not this process’s to make any more is not made', async (t) => {
  const { background, begun, forbid, finish } = await setUp();
  forbid();
  await finish();
  t.is(begun(), 32);
  background.beforeList()();
  t.deepEqual(background.resources(), []);
});

test('a stop waits for the calls that have begun, and no other begins', async (t) => {
  const { background, begun, finish } = await setUp();
  let stopped = false;
  const stop = background.stop().then(() => (stopped = true));
  await settle();
  t.false(stopped);
  await finish();
  await stop;
  t.is(begun(), 32);
});
