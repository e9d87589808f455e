import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { asOnTheWire } from '../../src/lib/grpc/channels.js';
import { clientCredentials } from '../../src/lib/grpc/tls.js';
import { GatewayError } from '../../src/model/errors.js';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { xdsMetrics } from '../../src/xds/xds-metrics.js';
import { startXdsServer, type XdsServerOptions } from '../../src/xds/xds-server.js';
import { TestAuthority } from '../support/certificates.js';
import { unusedAddress } from '../support/loopback.js';
import { shortForm } from '../support/xds-hub.js';
import { cluster, endpoints, listener, route, secret } from '../support/xds-resources.js';
import { SocketClient, type SocketOptions } from '../support/xds-socket.js';

// xDS through real gRPC sockets.

const { CLUSTER, ENDPOINTS, EXTENSION_CONFIG, LISTENER, ROUTE, SECRET } = TypeUrl;
const HOST = await unusedAddress();
const VIEW = 'edge';
const THOUSANDS = Array.from({ length: 2000 }, (_, i) =>
  endpoints(`spark/sjns-team-${i}`, [1, 2, 3]),
);

async function start(t: ExecutionContext, options: Partial<XdsServerOptions> = {}) {
  const cache = new ResourceCache();
  const server = await startXdsServer({
    address: { host: HOST, port: 0 },
    cache,
    viewOf: () => ({ view: VIEW }),
    logger: pino({ level: 'silent' }),
    ...options,
  });
  const target = `${HOST}:${server.port}`;
  const clients: SocketClient[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    await server.close();
  });
  const connect = (socket: SocketOptions) => {
    const client = new SocketClient(target, socket);
    clients.push(client);
    return client;
  };
  return { cache, server, target, connect };
}

for (const protocol of ['delta', 'sotw'] as const) {
  test(`${protocol}: resources, changes in order and removals reach an aggregated client`, async (t) => {
    const { cache, connect } = await start(t);
    cache.update(VIEW, { upserts: [cluster('a'), endpoints('a', [1]), listener('l'), route('r')] });
    const client = connect({ protocol });
    client.xds.subscribe(CLUSTER, ['*']);
    client.xds.subscribe(ENDPOINTS, ['a', 'b']);
    client.xds.subscribe(LISTENER, ['*']);
    client.xds.subscribe(ROUTE, ['r']);
    await client.takeUntil(() => client.xds.resources(ROUTE).has('r'));
    t.true(client.xds.resources(ENDPOINTS).has('a'));

    cache.update(VIEW, {
      upserts: [route('r', 'to-b'), endpoints('b', [2]), cluster('b'), listener('l', 'x')],
      removes: [{ typeUrl: CLUSTER, name: 'a' }],
    });
    const taken = await client.takeUntil(() => !client.xds.resources(CLUSTER).has('a'));
    t.deepEqual(
      taken.map(({ typeUrl }) => typeUrl),
      [CLUSTER, ENDPOINTS, LISTENER, ROUTE, CLUSTER],
    );
  });

  test(`${protocol}: a rejected version is not pushed again; the stream goes on`, async (t) => {
    const { cache, server, connect } = await start(t);
    cache.update(VIEW, { upserts: [route('r', 'bad')] });
    const client = connect({ protocol });
    client.xds.subscribe(ROUTE, ['r']);
    client.xds.take(await client.next(), 'bad host', new Set(['r']));
    client.xds.subscribe(CLUSTER, ['*']);
    const next = await client.next();
    t.is(next.typeUrl, CLUSTER, 'no route again');
    client.xds.take(next);
    t.like(
      server.hub.nodes()[0]?.types.find(({ typeUrl }) => typeUrl === ROUTE),
      {
        state: 'NACKED',
        error: 'bad host',
      },
    );
    cache.update(VIEW, { upserts: [route('r', 'good')] });
    t.deepEqual(shortForm([await client.next()]), ['RouteConfiguration+r']);
  });

  test(`${protocol}: a client that does not read gets the newest state at once when it does`, async (t) => {
    const { cache, server, connect } = await start(t);
    const names = Array.from({ length: 200 }, (_, i) => `cluster-${i}`);
    const state = (setting: string) => names.map((name) => cluster(name, setting.repeat(1000)));
    cache.update(VIEW, { upserts: state('0') });
    const slow = connect({ protocol, nodeId: 'slow' });
    const quick = connect({ protocol, nodeId: 'quick' });
    for (const client of [slow, quick]) {
      client.xds.subscribe(CLUSTER, ['*']);
      await client.takeUntil(() => client.xds.resources(CLUSTER).size === names.length);
    }
    slow.pause();
    for (let round = 1; round <= 5; round += 1) {
      const target = state(String(round));
      cache.update(VIEW, { upserts: target });
      await quick.takeUntil(() => {
        const held = quick.xds.resources(CLUSTER).get('cluster-0');
        return (
          held?.value.length !== undefined &&
          Buffer.from(held.value).includes(String(round).repeat(1000))
        );
      });
    }
    const stateOf = (id: string) =>
      server.hub.nodes().find((node) => node.id === id)?.types[0]?.state;
    t.is(stateOf('slow'), 'STALE');
    slow.resume();
    const taken = await slow.takeUntil(() => {
      const held = slow.xds.resources(CLUSTER).get('cluster-199');
      return held !== undefined && Buffer.from(held.value).includes('5'.repeat(1000));
    });
    t.is(taken.length, 2, 'the one under way and the newest');
  });

  test(`${protocol}: thousands of names for many clients: one change costs each a few hundred bytes`, async (t) => {
    const { cache, server, connect } = await start(t);
    const names = THOUSANDS.map(({ name }) => name);
    cache.update(VIEW, { upserts: THOUSANDS });
    const clients = Array.from({ length: 4 }, (_, i) =>
      connect({ protocol, nodeId: `envoy-${i}` }),
    );
    for (const client of clients) client.xds.subscribe(ENDPOINTS, names);
    for (const client of clients) {
      await client.takeUntil(() => client.xds.resources(ENDPOINTS).size === names.length);
      client.bytesReceived = 0;
    }
    const changed = endpoints('spark/sjns-team-42', [7]);
    const revision = cache.update(VIEW, { upserts: [changed] });
    t.true(server.hub.minAcknowledgedRevision(ENDPOINTS, changed.name) < revision);
    const acknowledged = new Promise<void>((resolve) => {
      server.hub.onAck(() => {
        if (server.hub.minAcknowledgedRevision(ENDPOINTS, changed.name) === revision) resolve();
      });
    });
    for (const client of clients) {
      const response = await client.next();
      t.deepEqual(shortForm([response]), ['ClusterLoadAssignment+spark/sjns-team-42']);
      client.xds.take(response);
      t.true(client.bytesReceived < 400);
    }
    await acknowledged;
    t.pass();
  });
}

for (const protocol of ['delta', 'sotw'] as const) {
  for (const [what, names, reason] of [
    [
      'too many names',
      Array.from({ length: 50_001 }, (_, i) => `c${i}`),
      /50000 resources of a type/,
    ],
    ['names that are too long', ['c'.repeat(5_000)], /4096 bytes, not 5000/],
    ['too much in all', Array.from({ length: 4_000 }, (_, i) => `${i}`.padEnd(4_000)), /in all/],
    ['more than one message may hold', ['c'.repeat(17 * 1024 * 1024)], /A message may have/],
  ] as const) {
    test(`${protocol}: a client is refused, and others go on: ${what}`, async (t) => {
      const { cache, server, connect } = await start(t);
      cache.update(VIEW, { upserts: [endpoints('a', [1])] });
      const absurd = connect({ protocol, nodeId: 'absurd' });
      absurd.xds.subscribe(ENDPOINTS, names);
      const refused = await t.throwsAsync<ServiceError>(absurd.next());
      t.is(refused.code, status.RESOURCE_EXHAUSTED);
      t.regex(refused.details, reason);
      const modest = connect({ protocol, nodeId: 'modest' });
      modest.xds.subscribe(ENDPOINTS, ['a']);
      t.deepEqual(shortForm([await modest.next()]), ['ClusterLoadAssignment+a']);
      t.deepEqual(
        server.hub.nodes().map(({ id }) => id),
        ['modest'],
      );
    });
  }
}

test('delta: names that come little by little are limited, too', async (t) => {
  const { connect } = await start(t);
  const client = connect({ protocol: 'delta' });
  for (let part = 0; part < 6; part += 1) {
    client.xds.subscribe(
      CLUSTER,
      Array.from({ length: 9_000 }, (_, i) => `${part}-${i}`),
    );
  }
  const refused = t.throwsAsync<ServiceError>(client.takeUntil(() => false));
  t.is((await refused).code, status.RESOURCE_EXHAUSTED);
});

test('delta: a client that reconnects is sent the difference only', async (t) => {
  const { cache, connect } = await start(t);
  cache.update(VIEW, { upserts: [cluster('a'), cluster('b'), cluster('c')] });
  const client = connect({ protocol: 'delta' });
  client.xds.subscribe(CLUSTER, ['*']);
  await client.takeUntil(() => client.xds.resources(CLUSTER).size === 3);
  client.connect();
  cache.update(VIEW, {
    upserts: [cluster('b', 'x')],
    removes: [{ typeUrl: CLUSTER, name: 'c' }],
  });
  const changed = await client.next();
  client.xds.take(changed);
  t.deepEqual(shortForm([changed, await client.next()]), ['Cluster+b', 'Cluster-c']);
});

test('each type has a service of its own, for both protocols', async (t) => {
  const { cache, connect } = await start(t);
  cache.update(VIEW, {
    upserts: [cluster('x'), endpoints('x', [1]), listener('x'), route('x'), secret('x', 's')],
  });
  const services = [
    [CLUSTER, 'cluster.v3.ClusterDiscoveryService', 'Clusters'],
    [ENDPOINTS, 'endpoint.v3.EndpointDiscoveryService', 'Endpoints'],
    [LISTENER, 'listener.v3.ListenerDiscoveryService', 'Listeners'],
    [ROUTE, 'route.v3.RouteDiscoveryService', 'Routes'],
    [SECRET, 'secret.v3.SecretDiscoveryService', 'Secrets'],
  ] as const;
  for (const [typeUrl, service, plural] of services) {
    for (const [protocol, verb] of [
      ['delta', 'Delta'],
      ['sotw', 'Stream'],
    ] as const) {
      const client = connect({ protocol, method: `/envoy.service.${service}/${verb}${plural}` });
      client.xds.subscribe(typeUrl, ['x']);
      const response = await client.next();
      t.deepEqual([response.typeUrl, response.resources.map(({ name }) => name)], [typeUrl, ['x']]);
      client.close();
    }
  }
  const filters = connect({
    protocol: 'delta',
    method: '/envoy.service.extension.v3.ExtensionConfigDiscoveryService/DeltaExtensionConfigs',
  });
  filters.xds.subscribe(EXTENSION_CONFIG, ['absent']);
  t.deepEqual((await filters.next()).removed, ['absent']);
});

test('Fetch is refused with the methods to use', async (t) => {
  const { target } = await start(t);
  const client = new Client(target, credentials.createInsecure());
  const error = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest(
      '/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters',
      asOnTheWire,
      asOnTheWire,
      Buffer.alloc(0),
      resolve,
    );
  });
  client.close();
  t.is(error?.code, status.UNIMPLEMENTED);
  t.regex(error?.details ?? '', /use the Stream or Delta method/);
});

test('views and their secrets follow from the client certificate, not from what the node says', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gateway-xds-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const authority = new TestAuthority();
  const tls = authority.writeFiles(directory, 'server', { commonName: 'xds', ipv4: [HOST] });
  const { cache, target, connect } = await start(t, {
    tls,
    viewOf: (peer) => {
      const name = peer?.uris[0]?.split('/').at(-1);
      return name === 'one' || name === 'two'
        ? { view: name }
        : { refused: 'No view is configured for this certificate.' };
    },
  });
  cache.update('one', { upserts: [secret('tls', 'of one')] });
  cache.update('two', { upserts: [secret('tls', 'of two')] });
  const credentialsOf = (name: string) =>
    clientCredentials(
      authority.writeFiles(directory, name, {
        commonName: name,
        uris: [`spiffe://mesh/envoy/${name}`],
      }),
    );
  const secretOf = async (name: string, nodeId: string) => {
    const client = connect({ protocol: 'delta', nodeId, credentials: credentialsOf(name) });
    client.xds.subscribe(SECRET, ['tls']);
    return Buffer.from((await client.next()).resources[0]?.value ?? []).toString();
  };
  t.regex(await secretOf('one', 'two'), /of one/);
  t.regex(await secretOf('two', 'one'), /of two/);
  const refused = await t.throwsAsync<ServiceError>(secretOf('three', 'one'));
  t.is(refused.code, status.PERMISSION_DENIED);
  t.regex(refused.details, /No view is configured/);

  const inTheClear = new SocketClient(target, { protocol: 'delta' });
  inTheClear.xds.subscribe(SECRET, ['tls']);
  await t.throwsAsync(inTheClear.next(), { message: /UNAVAILABLE/ });
  inTheClear.close();
  const foreign = new TestAuthority('foreign').writeFiles(directory, 'foreign', {
    commonName: 'one',
    uris: ['spiffe://mesh/envoy/one'],
  });
  const stranger = connect({
    protocol: 'delta',
    credentials: clientCredentials({ ...foreign, caFile: tls.caFile }),
  });
  stranger.xds.subscribe(SECRET, ['tls']);
  await t.throwsAsync(stranger.next(), { message: /UNAVAILABLE/ });
});

test('without mutual TLS it listens on loopback only', async (t) => {
  const options = {
    cache: new ResourceCache(),
    viewOf: () => ({ view: VIEW }),
    logger: pino({ level: 'silent' }),
  };
  const open = await t.throwsAsync<GatewayError>(
    startXdsServer({ ...options, address: { host: '0.0.0.0', port: 0 } }),
  );
  t.is(open.code, 'SETTINGS_INVALID');
  t.regex(open.message, /mutual TLS/);
  const first = await startXdsServer({ ...options, address: { host: HOST, port: 0 } });
  const taken = await t.throwsAsync<GatewayError>(
    startXdsServer({ ...options, address: { host: HOST, port: first.port } }),
  );
  t.regex(taken.message, /in use/);
  await first.close();
});

test('a server that closes tells its clients to go elsewhere, and forgets those that left', async (t) => {
  const cache = new ResourceCache();
  const server = await startXdsServer({
    address: { host: HOST, port: 0 },
    cache,
    viewOf: () => ({ view: VIEW }),
    logger: pino({ level: 'silent' }),
  });
  const target = `${HOST}:${server.port}`;
  const leaving = new SocketClient(target, { protocol: 'delta', nodeId: 'leaving' });
  leaving.xds.subscribe(CLUSTER, ['*']);
  await leaving.next();
  const left = new Promise<void>((resolve) => {
    server.hub.onAck(() => {
      if (server.hub.nodes().length === 0) resolve();
    });
  });
  leaving.close();
  await left;
  const staying = new SocketClient(target, { protocol: 'sotw' });
  staying.xds.subscribe(CLUSTER, ['*']);
  staying.xds.take(await staying.next());
  const closed = server.close();
  const error = await t.throwsAsync<ServiceError>(staying.next());
  t.is(error.code, status.UNAVAILABLE);
  t.regex(error.details, /shutting down/);
  staying.close();
  await closed;
});

// Metrics.

test('sizes of responses and the time to their ACK are distributions, by type', async (t) => {
  const registry = new Registry();
  const metrics = xdsMetrics(registry);
  metrics.pushed(TypeUrl.CLUSTER, 3000);
  metrics.pushed(TypeUrl.CLUSTER, 3_000_000);
  metrics.acknowledged(TypeUrl.CLUSTER, 40);
  metrics.rejected(TypeUrl.CLUSTER);
  const lines = (await registry.metrics()).split('\n');
  for (const line of [
    'spark_gateway_xds_push_size_bytes_bucket{le="4096",type="Cluster"} 1',
    'spark_gateway_xds_push_size_bytes_sum{type="Cluster"} 3003000',
    'spark_gateway_xds_push_size_bytes_count{type="Cluster"} 2',
    'spark_gateway_xds_ack_duration_seconds_bucket{le="0.025",type="Cluster"} 0',
    'spark_gateway_xds_ack_duration_seconds_bucket{le="0.05",type="Cluster"} 1',
    'spark_gateway_xds_nacks_total{type="Cluster"} 1',
  ]) {
    t.true(lines.includes(line), line);
  }
});

test('a first rejection is a rise, as there was a zero before it', async (t) => {
  const registry = new Registry();
  xdsMetrics(registry);
  t.true((await registry.metrics()).includes('spark_gateway_xds_nacks_total{type="Listener"} 0'));
});
