/** The protocol as a real Envoy speaks it. */
import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import type { DiscoveryHub } from '../../src/xds/hub.js';
import { type EncodedResource, encodeResource, TypeUrl } from '../../src/xds/resource.js';
import { startXdsServer } from '../../src/xds/xds-server.js';
import type { TypeStatus } from '../../src/model/reports.js';
import { EnvoyProcess } from '../support/envoy.js';
import { XdsTally } from '../support/xds-tally.js';
import { endpoints } from '../support/xds-resources.js';
import { unusedAddress } from '../support/loopback.js';

const { CLUSTER, ENDPOINTS } = TypeUrl;
const HOST = await unusedAddress();
const VIEW = 'edge';

/** An EDS cluster for which Envoy waits without end until its endpoints come. */
function edsCluster(name: string, connectSeconds: number): EncodedResource {
  const message = create(ClusterSchema, {
    name,
    connectTimeout: create(DurationSchema, { seconds: BigInt(connectSeconds) }),
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      edsConfig: {
        resourceApiVersion: ApiVersion.V3,
        initialFetchTimeout: create(DurationSchema),
        configSourceSpecifier: { case: 'ads', value: {} },
      },
    },
  });
  return encodeResource(ClusterSchema, name, message);
}

/** One that Envoy rejects: its policy belongs to another type of cluster. */
function badCluster(name: string): EncodedResource {
  const message = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
  });
  return encodeResource(ClusterSchema, name, message);
}

const start = (cache: ResourceCache, port = 0, metrics = new XdsTally()) =>
  startXdsServer({
    metrics,
    address: { host: HOST, port },
    cache,
    viewOf: () => ({ view: VIEW }),
    logger: pino({ level: 'silent' }),
  });

type Adapter = 'incremental' | 'state-of-the-world';

async function startEnvoy(t: ExecutionContext, port: number, adsProtocol: Adapter) {
  const xds = { host: HOST, port };
  const envoy = await EnvoyProcess.start({
    nodeId: 'envoy-1',
    nodeCluster: 'edge',
    admin: { host: HOST, port: 0 },
    health: { host: HOST, port: 0 },
    xds: [xds],
    adsProtocol,
    accessLog: [xds],
    controlPlaneTls: undefined,
    authz: { host: HOST, port: 1 },
    heapBytes: 1024 ** 3,
    downstreamConnections: 1000,
  });
  t.teardown(() => envoy.stop());
  return envoy;
}

function statusOf(hub: DiscoveryHub, typeUrl: TypeUrl): TypeStatus | undefined {
  return hub
    .nodes()
    .flatMap(({ types }) => types)
    .find((status) => status.typeUrl === typeUrl);
}

/** Resolves once `holds` is true, looked at whenever a client has answered or asked. */
function until(hub: DiscoveryHub, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!holds()) return;
      stop();
      resolve();
    };
    const stop = hub.onAck(look);
    look();
  });
}

for (const adsProtocol of ['incremental', 'state-of-the-world'] as const) {
  test(`${adsProtocol}: clusters are warm at once when they come, change and go, whatever Envoy waits for`, async (t) => {
    const cache = new ResourceCache();
    cache.update(VIEW, { upserts: [edsCluster('a', 1), endpoints('a', [1, 2])] });
    const server = await start(cache);
    t.teardown(() => server.close());
    const envoy = await startEnvoy(t, server.port, adsProtocol);
    const acknowledged = (typeUrl: TypeUrl, name: string) =>
      until(server.hub, () => server.hub.minAcknowledgedRevision(typeUrl, name) === cache.revision);
    const members = (name: string) => envoy.stat(`cluster\\.${name}\\.membership_total`);
    t.is(await members('a'), 2);

    cache.update(VIEW, { upserts: [edsCluster('a', 2)] });
    await acknowledged(CLUSTER, 'a');
    t.is(await members('a'), 2, 'changed, with the endpoints that did not change');

    cache.update(VIEW, { upserts: [edsCluster('b', 1), endpoints('b', [1]), edsCluster('a', 3)] });
    await acknowledged(CLUSTER, 'b');
    t.deepEqual([await members('a'), await members('b')], [2, 1]);

    cache.update(VIEW, { upserts: [endpoints('b', [1, 2, 3])] });
    await acknowledged(ENDPOINTS, 'b');
    t.is(await members('b'), 3);

    cache.update(VIEW, {
      removes: [
        { typeUrl: CLUSTER, name: 'b' },
        { typeUrl: ENDPOINTS, name: 'b' },
      ],
    });
    await acknowledged(CLUSTER, 'b');
    cache.update(VIEW, { upserts: [edsCluster('b', 1), endpoints('b', [9])] });
    await acknowledged(CLUSTER, 'b');
    t.is(await members('b'), 1, 'gone and back');
    t.is(await envoy.stat('cluster_manager\\.warming_clusters'), 0);
    t.is(statusOf(server.hub, CLUSTER)?.state, 'SYNCED');
  });

  test(`${adsProtocol}: Envoy's reason for a rejection is shown, and a better version mends it`, async (t) => {
    const cache = new ResourceCache();
    cache.update(VIEW, { upserts: [edsCluster('a', 1), endpoints('a', [1])] });
    const tally = new XdsTally();
    const server = await start(cache, 0, tally);
    t.teardown(() => server.close());
    const envoy = await startEnvoy(t, server.port, adsProtocol);
    await until(server.hub, () => statusOf(server.hub, CLUSTER)?.state === 'SYNCED');

    cache.update(VIEW, { upserts: [badCluster('a')] });
    await until(server.hub, () => statusOf(server.hub, CLUSTER)?.state === 'NACKED');
    t.regex(statusOf(server.hub, CLUSTER)?.error ?? '', /cluster provided LB specified/);
    t.is(tally.of(CLUSTER).nacks, 1);
    t.is(await envoy.stat('cluster\\.a\\.membership_total'), 1, 'the last good one is in use');

    cache.update(VIEW, { upserts: [edsCluster('a', 2)] });
    await until(server.hub, () => statusOf(server.hub, CLUSTER)?.state === 'SYNCED');
    t.is(await envoy.stat('cluster\\.a\\.membership_total'), 1);
  });
}

test('incremental: a restarted control plane sends an Envoy nothing that it has', async (t) => {
  const contents = [edsCluster('a', 1), endpoints('a', [1, 2])];
  const cache = new ResourceCache();
  cache.update(VIEW, { upserts: contents });
  const first = await start(cache);
  await startEnvoy(t, first.port, 'incremental');
  await until(first.hub, () => statusOf(first.hub, ENDPOINTS)?.state === 'SYNCED');
  await first.close();

  const sameAgain = new ResourceCache();
  sameAgain.update(VIEW, { upserts: contents });
  const tally = new XdsTally();
  const second = await start(sameAgain, first.port, tally);
  t.teardown(() => second.close());
  await until(
    second.hub,
    () =>
      statusOf(second.hub, CLUSTER)?.state === 'SYNCED' &&
      statusOf(second.hub, ENDPOINTS)?.state === 'SYNCED',
  );
  t.is(tally.of(CLUSTER).pushes, 0);
  t.is(tally.of(ENDPOINTS).pushes, 0);
});
