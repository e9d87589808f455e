import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { MERGE_PATCH } from '../../src/lib/kubernetes/kubernetes-api.js';
import type { KubernetesList, KubernetesObject, Pod } from '../../src/lib/kubernetes/objects.js';
import { Gateway } from '../support/gateway.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds, SPARK_DRIVER_CRD } from '../support/kube-manifests.js';
import { PySpark, type PySparkVersion } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { LoopbackAddresses } from './stand-in/runtime.js';
import { sparkServers } from './stand-in/spark.js';
import { startStandIns } from './world.js';

const NAMESPACE = 'sjns-data-dev';

interface SparkDriverObject extends KubernetesObject {
  readonly status: { readonly phase: string; readonly sessions: Record<string, unknown> };
}

let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;
let gateway: Gateway;
const folder = mkdtempSync(join(tmpdir(), 'kube-pyspark-'));

test.before(async () => {
  server = await KubeApiServer.shared();
  for (const crd of [...manifests(SPARK_DRIVER_CRD), ...operatorCrds()]) await server.apply(crd);
  await server.createNamespace('spark-gateway');
  await server.createNamespace(NAMESPACE);
  standIns = await startStandIns(server, sparkServers(await LoopbackAddresses.reserve()));
  writeFileSync(join(folder, 'kubeconfig'), server.adminConfig().exportConfig());
  writeFileSync(join(folder, 'templates.yaml'), TEMPLATES);
  process.env['KUBECONFIG'] = join(folder, 'kubeconfig');
  gateway = await Gateway.start({
    policy: {
      apiVersion: 'spark-gateway/v1alpha1',
      kind: 'RoutingPolicy',
      targets: {
        namespace: 'sjns-{team}-{environment}',
        environments: ['dev'],
        team_claim: 'team',
      },
      access: [
        { who: { groups: ['everyone'] }, what: { teams: ['${team}'], environments: ['dev'] } },
      ],
      pools: [{ size: 0, maximum: 2, idle_ttl: '10m' }],
    },
    settings: {
      drivers: {
        source: 'kubernetes',
        kubernetes: {
          gateway_namespace: 'spark-gateway',
          templates_file: join(folder, 'templates.yaml'),
          lease_duration: '4s',
        },
      },
    },
  });
});
test.after.always(async () => {
  await gateway?.stop();
  await standIns?.stop();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});
test.afterEach.always((t) => {
  if (!t.passed) t.log(gateway.logs());
});

const TEMPLATES = `apiVersion: spark-gateway/v1alpha1
kind: DriverTemplates
templates:
  - kind: SparkConnect
    spark_version: 4.3.0
    image: example.test/spark:4.3.0
    driver: { cores: 1, memory: 1g }
    executor: { cores: 1, memory: 1g }
`;

function records(): Promise<KubernetesList<SparkDriverObject>> {
  return server.admin().request({
    path: '/apis/spark-gateway.io/v1alpha1/namespaces/spark-gateway/sparkdrivers',
  });
}

function pods(): Promise<KubernetesList<Pod>> {
  return server.admin().request({ path: `/api/v1/namespaces/${NAMESPACE}/pods` });
}

/** What an operator does to get rid of a driver, sessions or not. */
async function drain(uid: string): Promise<void> {
  await server.admin().request({
    method: 'PATCH',
    path: `/apis/spark-gateway.io/v1alpha1/namespaces/spark-gateway/sparkdrivers/${uid}`,
    contentType: MERGE_PATCH,
    body: { spec: { drain: { deadline: '2026-01-01T00:00:00Z' } } },
  });
}

for (const version of ['4', '3.5'] as const satisfies readonly PySparkVersion[]) {
  test.serial(
    `PySpark ${version} waits while a driver is made for it, uses it, and leaves nothing`,
    async (t) => {
      const pyspark = await PySpark.start(version);
      t.teardown(() => pyspark.kill());
      const url = version === '4' ? await gateway.url() : await gateway.url35();
      const { sessionId } = await pyspark.connect('a', url);
      const { rows } = await pyspark.sql('a', 'SELECT sum(id) FROM range(10)');
      t.deepEqual(rows, [[45]]);
      const holder = (await records()).items.find(({ status }) =>
        Object.hasOwn(status.sessions, sessionId),
      );
      t.is(holder?.status.phase, 'in_use');
      t.true((await pods()).items.some(({ metadata }) => metadata.uid === holder?.metadata.name));
      // A 3.5 client tells nobody that it stops.
      if (version === '4') await pyspark.stop('a');
      else await drain(holder?.metadata.name ?? '');
      await gateway.until(pods, ({ items }) => items.length === 0);
    },
  );
}

test.serial('a session goes on after its control plane was killed', async (t) => {
  const pyspark = await PySpark.start();
  t.teardown(() => pyspark.kill());
  await pyspark.connect('a', await gateway.url());
  await pyspark.createTempView('a', 'kept', 'SELECT 7 AS n');
  await gateway.restart('control-plane');
  t.deepEqual((await pyspark.sql('a', 'SELECT n FROM kept')).rows, [[7]]);
  await pyspark.stop('a');
  await gateway.until(pods, ({ items }) => items.length === 0);
});

test.serial(
  'a session whose pod was deleted is told that it is lost, and a new one gets a new driver',
  async (t) => {
    const pyspark = await PySpark.start();
    t.teardown(() => pyspark.kill());
    const { sessionId } = await pyspark.connect('a', await gateway.url());
    await pyspark.sql('a', 'SELECT 1');
    const { uid } = await gateway.driverOf(sessionId);
    const pod = (await pods()).items.find(({ metadata }) => metadata.uid === uid);
    await server.admin().request({
      method: 'DELETE',
      path: `/api/v1/namespaces/${NAMESPACE}/pods/${pod?.metadata.name}`,
    });
    await gateway.until(
      async () => (await records()).items.find(({ metadata }) => metadata.name === uid),
      (record) => record?.status.phase === 'gone',
    );
    const error = await t.throwsAsync(pyspark.sql('a', 'SELECT 1'), { instanceOf: PySparkError });
    t.regex(error?.message ?? '', /SESSION_CHANGED|session/i);
    const next = await pyspark.connect('b', await gateway.url(), { how: 'getOrCreate' });
    t.not(next.sessionId, sessionId);
    t.deepEqual((await pyspark.sql('b', 'SELECT 2')).rows, [[2]]);
  },
);
