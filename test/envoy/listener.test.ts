import { fromBinary, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { frontResources, listener } from '../../src/envoy/listener.js';
import { routes } from '../../src/envoy/routes.js';
import {
  checkTimeoutMs,
  type EnvoySettings,
  ResourceNames,
  unassignedIdleTimeoutMs,
} from '../../src/envoy/settings.js';
import { defaultEnvoySettings } from '../support/envoy-settings.js';

function listenerOf(settings: EnvoySettings) {
  return frontResources(settings).find(({ typeUrl }) => typeUrl === TypeUrl.LISTENER)?.version;
}

test('routes, authz and drivers may change and the listener stays byte for byte the same', (t) => {
  const before = listenerOf(defaultEnvoySettings);
  const after = listenerOf({
    listener: defaultEnvoySettings.listener,
    authz: { longestHoldMs: 5_000, marginMs: 1, headers: ['x-team'] },
    drivers: { maxConnectionsPerDriver: 1, connectTimeoutMs: 1, tls: true },
  });
  t.truthy(before);
  t.is(after, before);
});

test('the listener is built the same each time', (t) => {
  const [first, second] = [1, 2].map(() =>
    toBinary(ListenerSchema, listener(defaultEnvoySettings.listener)),
  );
  t.deepEqual(first, second);
});

/** The routes whose requests may ask for a lease. */
function leasable(leases: boolean, tracing = {}): string[] {
  return routes({
    ...defaultEnvoySettings,
    listener: { ...defaultEnvoySettings.listener, ...tracing },
    authz: { ...defaultEnvoySettings.authz, leases },
  })
    .virtualHosts.flatMap((host) => host.routes)
    .filter(({ typedPerFilterConfig }) => ResourceNames.lease in typedPerFilterConfig)
    .map(({ name }) => name)
    .filter((name) => !name.startsWith('leased_'));
}

test('only where there are leases, and a Config only where requests are not traced, leaves by one', (t) => {
  const release = ['driver_ReleaseExecute', 'unassigned_ReleaseExecute'];
  t.deepEqual(leasable(true), [...release, 'driver_Config', 'unassigned_Config']);
  t.deepEqual(leasable(true, { tracing: { samplePercent: 1 } }), release);
  t.deepEqual(leasable(false), []);
});

test('what authz answers itself goes to authz, whichever RPC it is: ReleaseExecute alone is never answered so', (t) => {
  const [host] = routes({
    ...defaultEnvoySettings,
    authz: { ...defaultEnvoySettings.authz, leases: true },
  }).virtualHosts;
  const names = host?.routes.map(({ name }) => name) ?? [];
  const before = names.slice(0, names.indexOf('answered'));
  t.deepEqual(
    before.filter((name) => name.startsWith('unassigned')),
    ['unassigned_ReleaseExecute'],
  );
});

test('with TLS, only names of secrets are part of the listener', (t) => {
  const value = listener({ ...defaultEnvoySettings.listener, tls: true });
  const text = Buffer.from(toBinary(ListenerSchema, value)).toString('latin1');
  t.regex(text, /front_certificate/);
  t.regex(text, /client_ca/);
  t.notRegex(text, /BEGIN/);
});

test('a field that is newer than the protos at hand survives a round trip', (t) => {
  const bytes = toBinary(ListenerSchema, listener(defaultEnvoySettings.listener));
  const [unknown] = fromBinary(ListenerSchema, bytes).$unknown ?? [];
  t.is(unknown?.no, 37);
});

test('authz may take longer than the longest hold, and a waiting request longer than authz', (t) => {
  for (const longestHoldMs of [0, 60_000, 600_000]) {
    const authz = { longestHoldMs, marginMs: 1_000, headers: [] };
    t.true(checkTimeoutMs(authz) > longestHoldMs);
    t.true(unassignedIdleTimeoutMs(authz) > checkTimeoutMs(authz));
  }
});
