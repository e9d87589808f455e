import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { stringify } from 'yaml';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { RowGate } from '../support/row-gate.js';
import { ControlPlane, TEMPLATES } from './control-plane.js';
import { startCluster } from './replicas.js';
import { LoopbackAddresses } from './stand-in/runtime.js';
import { sparkServers } from './stand-in/spark.js';
import { unusedAddress } from '../support/loopback.js';

const GATEWAY = 'spark-gateway';
const DRIVERS = 'sjns-data-dev';
const POOL = { size: 1, maximum: 3 };
const LEASE_MS = 5_000;
const LIMITS = [{ queries_per_session: 1 }];

let cluster: Awaited<ReturnType<typeof startCluster>>;
/** Leads from the beginning; authz knows only of the other replica, which is part of the gateway. */
let leader: ControlPlane;
let gateway: Gateway;
const folder = mkdtempSync(join(tmpdir(), 'kube-replicas-'));

test.before(async () => {
  cluster = await startCluster(sparkServers(await LoopbackAddresses.reserve()));
  const { server } = cluster;
  for (const namespace of [GATEWAY, DRIVERS]) await server.createNamespace(namespace);
  const host = await unusedAddress();
  const shared = { namespace: GATEWAY, drivers: DRIVERS, pool: POOL, leaseMs: LEASE_MS };
  leader = await ControlPlane.start({
    server,
    host,
    ...shared,
    files: { policy: { limits: LIMITS } },
  });
  await leader.until('to lead', () => leader.isLeading());
  writeFileSync(join(folder, 'kubeconfig'), server.adminConfig().exportConfig());
  writeFileSync(join(folder, 'templates.yaml'), stringify(TEMPLATES));
  process.env['KUBECONFIG'] = join(folder, 'kubeconfig');
  gateway = await Gateway.start({
    policy: {
      apiVersion: 'spark-gateway/v1alpha1',
      kind: 'RoutingPolicy',
      access: [{ who: { groups: ['everyone'] }, what: { teams: ['*'], environments: ['*'] } }],
      pools: [
        {
          size: String(POOL.size),
          maximum: String(POOL.maximum),
          sessions_per_driver: '1',
          after_use: 'replace',
        },
      ],
      warm_namespaces: [DRIVERS],
      limits: LIMITS,
    },
    settings: {
      drivers: {
        source: 'kubernetes',
        kubernetes: {
          namespaces: [DRIVERS],
          gateway_namespace: GATEWAY,
          templates_file: join(folder, 'templates.yaml'),
          lease_duration: `${LEASE_MS}ms`,
        },
      },
    },
  });
});
test.after.always(async () => {
  await gateway?.stop();
  await leader?.stop();
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});
test.afterEach.always((t) => {
  if (!t.passed) t.log(gateway.logs());
});

test.serial('a query waits for another of its session, which only the leader counts', async (t) => {
  const pyspark = await PySpark.start();
  t.teardown(() => pyspark.kill());
  const gate = new RowGate();
  t.teardown(() => gate.remove());
  await pyspark.connect('a', await gateway.url());
  const first = pyspark.gated('a', gate, 2);
  gate.open(0);
  await first.event(({ type }) => type === 'row');
  let isFirstOver = false;
  const ended = first.result.then(() => (isFirstOver = true));
  const second = pyspark.sql('a', 'SELECT 1').then(({ rows }) => ({ rows, isFirstOver }));
  const waiting = `spark_gateway_queries_waiting{namespace="${DRIVERS}"}`;
  await leader.until('to have a query wait', async () => (await leader.metric(waiting)) === 1);
  gate.open(1);
  t.deepEqual(await second, { rows: [[1]], isFirstOver: true });
  await ended;
  await pyspark.stop('a');
});

test.serial(
  'a query goes on while the leader is killed, and whoever comes meanwhile waits for a driver of their own',
  async (t) => {
    const pyspark = await PySpark.start();
    t.teardown(() => pyspark.kill());
    const gate = new RowGate();
    t.teardown(() => gate.remove());
    const first = await pyspark.connect('a', await gateway.url());
    await pyspark.createTempView('a', 'kept', 'SELECT 7 AS n');
    const query = pyspark.gated('a', gate, 3);
    gate.open(0);
    await query.event(({ type }) => type === 'row');

    await leader.kill();
    const others = Promise.all(
      ['bob', 'carol'].map(async (name) => {
        const session = await pyspark.connect(name, await gateway.url({ user: name }));
        t.deepEqual((await pyspark.sql(name, 'SELECT sum(id) FROM range(10)')).rows, [[45]]);
        return session;
      }),
    );
    gate.open(1);
    await gateway.until(
      () => gateway.status(),
      ({ replica }) => replica.leads,
    );
    gate.open(2);
    t.is((await query.result).rows, 3);
    t.deepEqual((await pyspark.sql('a', 'SELECT n FROM kept')).rows, [[7]]);

    const drivers = new Set<string>();
    for (const { sessionId } of [first, ...(await others)]) {
      drivers.add((await gateway.driverOf(sessionId)).uid);
    }
    t.is(drivers.size, 3);
    const applications = await Promise.all(
      ['a', 'bob', 'carol'].map((name) => pyspark.conf(name, 'spark.app.id')),
    );
    t.is(new Set(applications).size, 3);
  },
);
