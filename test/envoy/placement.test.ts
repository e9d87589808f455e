import test from 'ava';
import * as fc from 'fast-check';
import type { RoutableDriver } from '../../src/model/driver.js';
import { addressKey, place } from '../../src/envoy/placement.js';

function driver(uid: string, address: string, port = 15002): RoutableDriver {
  return { uid, namespace: 'ns', address, port, draining: false };
}

const none = new Map<string, string>();

test('drivers with an address of their own are routable', (t) => {
  const drivers = [
    driver('a', '10.0.0.1'),
    driver('b', '10.0.0.2'),
    driver('c', '10.0.0.2', 15003),
  ];
  const { routable, withheld } = place(drivers, none, none);
  t.deepEqual(routable, drivers);
  t.deepEqual(withheld, []);
});

test('of two new claimants of an address, none gets it', (t) => {
  const { routable, withheld } = place(
    [driver('a', '10.0.0.1'), driver('b', '10.0.0.1')],
    none,
    none,
  );
  t.deepEqual(routable, []);
  t.deepEqual(
    withheld.map(({ driver: { uid }, reason }) => [uid, reason]),
    [
      ['a', 'address_claimed_twice'],
      ['b', 'address_claimed_twice'],
    ],
  );
});

test('who is published at an address keeps it against another claimant', (t) => {
  const incumbents = new Map([['10.0.0.1:15002', 'b']]);
  const { routable } = place([driver('a', '10.0.0.1'), driver('b', '10.0.0.1')], incumbents, none);
  t.deepEqual(
    routable.map(({ uid }) => uid),
    ['b'],
  );
});

test('an address waits until its former driver is forgotten', (t) => {
  const key = '10.0.0.1:15002';
  const successor = driver('new', '10.0.0.1');
  for (const [incumbents, leaving] of [
    [new Map([[key, 'old']]), none],
    [none, new Map([[key, 'old']])],
  ] as const) {
    const { withheld } = place([successor], incumbents, leaving);
    t.is(withheld[0]?.reason, 'address_not_yet_forgotten');
  }
  t.deepEqual(place([successor], none, none).routable, [successor]);
});

test('a driver that comes back to its own address need not wait', (t) => {
  const returning = driver('a', '10.0.0.1');
  const { routable } = place([returning], none, new Map([['10.0.0.1:15002', 'a']]));
  t.deepEqual(routable, [returning]);
});

test('two spellings of one IPv6 address are one address', (t) => {
  const { routable } = place(
    [driver('a', 'fd00::1'), driver('b', 'fd00:0:0:0:0:0:0:1')],
    none,
    none,
  );
  t.deepEqual(routable, []);
});

for (const [what, bad] of [
  ['a name', driver('a', 'driver.example.com')],
  ['no address', driver('a', '')],
  ['an IPv6 zone', driver('a', 'fe80::1%eth0')],
  ['port 0', driver('a', '10.0.0.1', 0)],
  ['a port beyond 65535', driver('a', '10.0.0.1', 65_536)],
] as const) {
  test(`${what} would make Envoy refuse the whole namespace, so it is withheld`, (t) => {
    const good = driver('b', '10.0.0.2');
    const { routable, withheld } = place([bad, good], none, none);
    t.deepEqual(routable, [good]);
    t.is(withheld[0]?.reason, 'address_unusable');
  });
}

test('no two routable drivers ever share an address, and every driver is accounted for', (t) => {
  const uid = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', 'nonsense');
  const addressMap = fc
    .array(fc.tuple(address, uid), { maxLength: 3 })
    .map((entries) => new Map(entries.map(([ip, owner]) => [`${ip}:15002`, owner])));
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(uid, address), { selector: ([id]) => id }),
      addressMap,
      addressMap,
      (wanted, incumbents, leaving) => {
        const drivers = wanted.map(([id, ip]) => driver(id, ip));
        const { routable, withheld } = place(drivers, incumbents, leaving);
        const keys = routable.map(addressKey);
        t.is(new Set(keys).size, keys.length);
        t.is(routable.length + withheld.length, drivers.length);
        for (const { uid: id, address: ip } of routable) {
          t.true([id, undefined].includes(incumbents.get(`${ip}:15002`)));
        }
      },
    ),
  );
});
