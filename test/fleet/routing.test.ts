import test from 'ava';
import * as fc from 'fast-check';
import { hostPort, type DriverRecord, type ObservedDriver } from '../../src/model/driver.js';
import { routing } from '../../src/fleet/routing.js';
import { alice, driverRecord } from '../support/driver-records.js';

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
