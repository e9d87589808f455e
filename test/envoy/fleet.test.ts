import { fromBinary } from '@bufbuild/protobuf';
import test from 'ava';
import { pino } from 'pino';
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { HealthStatus } from '#gen/envoy/config/core/v3/health_check_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { DiscoveryResponseSchema } from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import type { RoutableDriver } from '../../src/model/driver.js';
import { clusterName } from '../../src/model/names.js';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { type FleetView, XdsFleet } from '../../src/envoy/fleet.js';
import { defaultEnvoySettings } from '../support/envoy-settings.js';
import { ManualClock } from '../support/manual-clock.js';
import { HubHarness, VIEW } from '../support/xds-hub.js';

function driver(uid: string, last: number, namespace = 'ns', draining = false): RoutableDriver {
  return { uid, namespace, address: `10.0.0.${last}`, port: 15002, draining };
}

/** A fleet whose Envoys have acknowledged whatever a test says. */
function setUp(
  views: readonly FleetView[] = [{ name: 'all', serves: () => true }],
  connectionsPerDriver: (namespace: string) => number | undefined = () => undefined,
) {
  const cache = new ResourceCache();
  const clock = new ManualClock();
  const log: { driver: string; reason: string }[] = [];
  const listeners = new Set<() => void>();
  let acknowledged: number | undefined;
  const fleet = new XdsFleet({
    cache,
    clock,
    views,
    connections: defaultEnvoySettings.drivers,
    connectionsPerDriver,
    logger: pino({}, { write: (line: string) => log.push(JSON.parse(line)) }),
    revisions: {
      minAcknowledgedRevision: () => acknowledged ?? cache.revision,
      onAck(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  });
  return {
    cache,
    clock,
    fleet,
    log,
    /** An Envoy is connected and has got so far. */
    acknowledge: (revision: number) => {
      acknowledged = revision;
      for (const listener of listeners) listener();
    },
    assignment: (namespace: string, view = 'all') => assignment(cache, namespace, view),
  };
}

function assignment(
  cache: ResourceCache,
  namespace: string,
  view: string,
): ClusterLoadAssignment | undefined {
  const resource = cache.get(view, TypeUrl.ENDPOINTS, clusterName(namespace));
  if (!resource) return undefined;
  const [any] = fromBinary(DiscoveryResponseSchema, resource.sotwField).resources;
  return any && fromBinary(ClusterLoadAssignmentSchema, any.value);
}

function published(found: ClusterLoadAssignment | undefined) {
  return found?.endpoints.flatMap(({ lbEndpoints }) =>
    lbEndpoints.map(({ metadata, healthStatus }) => [
      metadata?.filterMetadata['envoy.lb']?.['hash_key'],
      healthStatus,
    ]),
  );
}

test('a namespace is a cluster, and its drivers carry their uid as hash key', (t) => {
  const { fleet, cache, assignment: read } = setUp();
  fleet.publish([driver('b', 2), driver('a', 1, 'ns', true), driver('c', 3, 'other')]);
  t.deepEqual(
    [...cache.resources('all', TypeUrl.CLUSTER).keys()],
    [clusterName('ns'), clusterName('other')],
  );
  t.deepEqual(published(read('ns')), [
    ['a', HealthStatus.DRAINING],
    ['b', HealthStatus.HEALTHY],
  ]);
});

test('a change touches the endpoints of its namespace and nothing else', (t) => {
  const { fleet, cache } = setUp();
  fleet.publish([driver('a', 1), driver('b', 2, 'other')]);
  const changes: string[] = [];
  cache.onChange((change) => {
    changes.push(...change.changes.map(({ typeUrl, name }) => `${typeUrl} ${name}`));
  });
  fleet.publish([driver('b', 2, 'other'), driver('a', 1)]);
  t.deepEqual(changes, []);
  fleet.publish([driver('b', 2, 'other'), driver('a', 1), driver('c', 3)]);
  t.deepEqual(changes, [`${TypeUrl.ENDPOINTS} ${clusterName('ns')}`]);
});

test('a driver is known once every Envoy has acknowledged it', (t) => {
  const { fleet, cache, acknowledge } = setUp();
  t.false(fleet.knows('a'));
  acknowledge(0);
  fleet.publish([driver('a', 1)]);
  t.false(fleet.knows('a'));
  let told = 0;
  fleet.onChange(() => (told += 1));
  acknowledge(cache.revision);
  t.is(told, 1);
  t.true(fleet.knows('a'));
});

test('without an Envoy a published driver is known', (t) => {
  const { fleet } = setUp();
  fleet.publish([driver('a', 1)]);
  t.true(fleet.knows('a'));
});

test('draining a driver does not make it unknown', (t) => {
  const { fleet, cache, acknowledge } = setUp();
  fleet.publish([driver('a', 1)]);
  acknowledge(cache.revision);
  fleet.publish([driver('a', 1, 'ns', true)]);
  t.true(fleet.knows('a'));
});

test('a removed driver is forgotten once every Envoy has acknowledged that', (t) => {
  const { fleet, cache, acknowledge } = setUp();
  fleet.publish([driver('a', 1)]);
  acknowledge(cache.revision);
  t.false(fleet.hasForgotten(driver('a', 1)));
  fleet.publish([]);
  t.false(fleet.hasForgotten(driver('a', 1)));
  acknowledge(cache.revision);
  t.true(fleet.hasForgotten(driver('a', 1)));
});

test('a driver of an earlier process is not forgotten before Envoy has this one’s state', (t) => {
  const { fleet, cache, acknowledge } = setUp();
  const earlier = ['ns', 'emptied'].map((namespace) => driver('of-earlier', 2, namespace));
  const forgotten = () => earlier.map((gone) => fleet.hasForgotten(gone));
  acknowledge(0);
  t.deepEqual(forgotten(), [false, false]);
  fleet.publish([driver('a', 1)]);
  t.deepEqual(forgotten(), [false, false]);
  acknowledge(cache.revision);
  t.deepEqual(forgotten(), [true, true]);
});

function fleetOf({ cache, hub, clock }: HubHarness): XdsFleet {
  return new XdsFleet({
    cache,
    clock,
    revisions: hub,
    views: [{ name: VIEW, serves: () => true }],
    connections: defaultEnvoySettings.drivers,
    logger: pino({ level: 'silent' }),
  });
}

for (const protocol of ['delta', 'sotw'] as const) {
  test(`${protocol}: after a restart, drivers of an emptied namespace are forgotten when Envoy is rid of its cluster`, async (t) => {
    const earlier = new HubHarness();
    fleetOf(earlier).publish([driver('gone', 1, 'emptied'), driver('stays', 2)]);
    const envoy = earlier.client(protocol);
    envoy.xds.subscribe(TypeUrl.CLUSTER, ['*']);
    envoy.xds.subscribe(TypeUrl.ENDPOINTS, [clusterName('emptied'), clusterName('ns')]);
    envoy.takeAll();

    const restarted = new HubHarness();
    const fleet = fleetOf(restarted);
    fleet.publish([driver('stays', 2)]);
    const again = restarted.adopt(envoy);
    await restarted.clock.advance(1_000);
    t.true(envoy.xds.resources(TypeUrl.CLUSTER).has(clusterName('emptied')));
    t.false(fleet.hasForgotten(driver('gone', 1, 'emptied')));
    again.takeAll();
    t.false(envoy.xds.resources(TypeUrl.CLUSTER).has(clusterName('emptied')));
    t.true(fleet.hasForgotten(driver('gone', 1, 'emptied')));
  });
}

test('an address is held by who is published there, and by a former one until every Envoy has forgotten it', (t) => {
  const { fleet, cache, acknowledge } = setUp();
  t.is(fleet.holderOf(driver('old', 1)), undefined);
  fleet.publish([driver('old', 1)]);
  t.is(fleet.holderOf(driver('new', 1)), 'old');
  acknowledge(cache.revision);
  fleet.publish([]);
  t.is(fleet.holderOf(driver('new', 1)), 'old');
  acknowledge(cache.revision);
  t.is(fleet.holderOf(driver('new', 1)), undefined);
});

test('without an Envoy an address is free at once', (t) => {
  const { fleet } = setUp();
  fleet.publish([driver('old', 1)]);
  fleet.publish([]);
  t.is(fleet.holderOf(driver('new', 1)), undefined);
});

test('a namespace without drivers keeps its cluster for a while', async (t) => {
  const { fleet, cache, clock, assignment: read } = setUp();
  fleet.publish([driver('a', 1)]);
  fleet.publish([]);
  t.deepEqual(published(read('ns')), []);
  await clock.advance(599_999);
  fleet.publish([driver('b', 2)]);
  await clock.advance(600_000);
  t.is(cache.resources('all', TypeUrl.CLUSTER).size, 1);
  fleet.publish([]);
  await clock.advance(600_000);
  t.is(cache.resources('all', TypeUrl.CLUSTER).size, 0);
  t.is(read('ns'), undefined);
  fleet.publish([driver('c', 3)]);
  t.deepEqual(
    published(read('ns'))?.map(([uid]) => uid),
    ['c'],
  );
});

test('a view is told of its own namespaces only', (t) => {
  const { fleet, assignment: read } = setUp([
    { name: 'all', serves: () => true },
    { name: 'prod', serves: (namespace) => namespace.endsWith('-prod') },
  ]);
  fleet.publish([driver('a', 1, 'sjns-x-prod'), driver('b', 2, 'sjns-x-test')]);
  t.truthy(read('sjns-x-prod', 'prod'));
  t.is(read('sjns-x-test', 'prod'), undefined);
  t.truthy(read('sjns-x-test', 'all'));
});

test('a policy that limits connections otherwise changes the clusters that it is for', (t) => {
  let limit: number | undefined;
  const { cache, fleet } = setUp(undefined, (namespace) =>
    namespace === 'ns' ? limit : undefined,
  );
  const limits = () =>
    ['ns', 'other'].map((namespace) => {
      const resource = cache.get('all', TypeUrl.CLUSTER, clusterName(namespace));
      const [any] = resource
        ? fromBinary(DiscoveryResponseSchema, resource.sotwField).resources
        : [];
      const found = any && fromBinary(ClusterSchema, any.value);
      return found?.circuitBreakers?.perHostThresholds[0]?.maxConnections;
    });
  fleet.publish([driver('a', 1), driver('b', 2, 'other')]);
  t.deepEqual(limits(), [100, 100]);
  const { revision } = cache;
  fleet.limitsChanged();
  t.is(cache.revision, revision, 'nothing has changed');
  limit = 7;
  fleet.limitsChanged();
  t.deepEqual(limits(), [7, 100]);
  fleet.publish([driver('a', 1), driver('c', 3), driver('b', 2, 'other')]);
  t.deepEqual(limits(), [7, 100]);
  limit = undefined;
  fleet.limitsChanged();
  t.deepEqual(limits(), [100, 100]);
  t.true(fleet.knows('a'));
});
