import test from 'ava';
import { addressOfReplica, replicaIdentity } from '../../../src/fleet/records/lease.js';

test('a replica is reached at the address in its identity, which no other process has', (t) => {
  const one = replicaIdentity('gateway-7f9c-x', '10.1.2.3:18001');
  t.is(addressOfReplica(one), '10.1.2.3:18001');
  t.not(replicaIdentity('gateway-7f9c-x', '10.1.2.3:18001'), one);
  t.is(addressOfReplica(replicaIdentity('a@b', '[fd00::1]:18001')), '[fd00::1]:18001');
});

test('a holder of another kind has no address', (t) => {
  for (const holder of ['', 'somebody', 'somebody@10.1.2.3:18001', 'a_b@c']) {
    t.is(addressOfReplica(holder), undefined, holder);
  }
});
