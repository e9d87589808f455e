import { randomUUID } from 'node:crypto';
import test from 'ava';
import { hasStatus } from '../../src/lib/kubernetes/http.js';
import type { KubernetesList, KubernetesObject, Pod } from '../../src/lib/kubernetes/objects.js';
import { AssignmentClient } from '../support/assignment-client.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds, SPARK_DRIVER_CRD } from '../support/kube-manifests.js';
import { ControlPlane } from './control-plane.js';
import { listeners, LoopbackAddresses } from './stand-in/runtime.js';
import { startStandIns } from './world.js';
import { unusedAddress } from '../support/loopback.js';

const CONNECT = 'sjns-connect-dev';
const APPLICATION = 'sjns-application-dev';
const UNPROTECTED = 'sjns-unprotected-dev';

let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;
let gateway: ControlPlane;
let client: AssignmentClient;

test.before(async () => {
  server = await KubeApiServer.shared();
  for (const crd of [...manifests(SPARK_DRIVER_CRD), ...operatorCrds()]) await server.apply(crd);
  const namespaces = [CONNECT, APPLICATION, UNPROTECTED];
  for (const namespace of ['gateway', ...namespaces]) await server.createNamespace(namespace);
  standIns = await startStandIns(server, listeners(await LoopbackAddresses.reserve()));
  const template = {
    kind: 'SparkConnect',
    spark_version: '4.1.3',
    image: 'example.test/spark:4.1.3',
    driver: { cores: '1', memory: '1g' },
    executor: { cores: '1', memory: '1g' },
  };
  gateway = await ControlPlane.start({
    server,
    host: await unusedAddress(),
    namespace: 'gateway',
    drivers: CONNECT,
    pool: { size: 1, maximum: 3 },
    leaseMs: 3_000,
    files: {
      kubernetes: { namespaces },
      policy: {
        pools: [{ size: '1', maximum: '8', sessions_per_driver: '1', after_use: 'reuse' }],
        warm_namespaces: namespaces,
      },
      templates: {
        templates: [
          {
            ...template,
            namespaces: [APPLICATION],
            kind: 'SparkApplication',
            main: { type: 'Python', file: 'local:///main.py' },
          },
          { ...template, namespaces: [UNPROTECTED], disruption_budget: 'false' },
          template,
        ],
      },
    },
  });
  await gateway.until('to have its pools', async () => {
    const drivers = await gateway.drivers();
    return drivers.filter(({ phase }) => phase === 'available').length === namespaces.length;
  });
  client = new AssignmentClient(gateway.assignments);
});
test.after.always(async () => {
  client?.close();
  await gateway?.stop();
  await standIns?.stop();
  await server?.stop();
});

/** Gives a new session a driver; resolves with the session and the driver's pod. */
async function newSession(namespace: string): Promise<{ sessionId: string; pod: Pod }> {
  const sessionId = randomUUID();
  const assignment = await client.assign({
    sessionId,
    principal: { issuer: 'https://idp.test', subject: 'ann' },
    userId: 'ann',
    team: namespace.split('-')[1] ?? '',
    environment: 'dev',
    namespace,
    mayCreate: true,
    holdMs: 60_000,
    method: 'Config',
  });
  const { items } = await server
    .admin()
    .request<KubernetesList<Pod>>({ path: `/api/v1/namespaces/${namespace}/pods` });
  const pod = items.find(({ metadata }) => metadata.uid === assignment?.driverUid);
  if (!pod) throw new Error(`No pod is driver ${assignment?.driverUid}.`);
  return { sessionId, pod };
}

/** Asks as `kubectl drain` does; nothing is really evicted. */
async function mayBeEvicted({ metadata: { name, namespace } }: Pod): Promise<boolean> {
  try {
    await server.admin().request({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/pods/${name}/eviction`,
      body: {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace },
        deleteOptions: { dryRun: ['All'] },
      },
    });
    return true;
  } catch (error) {
    if (hasStatus(error, 429)) return false;
    throw error;
  }
}

for (const namespace of [CONNECT, APPLICATION]) {
  test.serial(
    `${namespace}: a driver with a session is not evicted, an idle one may be`,
    async (t) => {
      const { sessionId, pod } = await newSession(namespace);
      await gateway.until('to protect the driver', async () => !(await mayBeEvicted(pod)));
      const { annotations = {} } = pod.metadata;
      t.is(annotations['cluster-autoscaler.kubernetes.io/safe-to-evict'], 'false');
      t.is(annotations['karpenter.sh/do-not-disrupt'], 'true');
      const { items } = await server
        .admin()
        .request<KubernetesList<Pod>>({ path: `/api/v1/namespaces/${namespace}/pods` });
      const idle = items.filter(({ metadata }) => metadata.uid !== pod.metadata.uid);
      for (const other of idle) t.true(await mayBeEvicted(other));

      const follow = client.follow();
      follow.send({ sidecarId: 'one', activity: [{ sessionId, ageMs: 0, released: true }] });
      await gateway.until('to let the idle driver go', () => mayBeEvicted(pod));
      follow.cancel();
    },
  );
}

test.serial('a template that wants no budget has none', async (t) => {
  const { pod } = await newSession(UNPROTECTED);
  await newSession(CONNECT);
  const path = `/apis/policy/v1/namespaces/${CONNECT}/poddisruptionbudgets`;
  await gateway.until('to protect another', async () => {
    const { items } = await server.admin().request<KubernetesList<KubernetesObject>>({ path });
    return items.length > 0;
  });
  t.true(await mayBeEvicted(pod));
});

test.serial('a budget of someone else stays, whatever its labels', async (t) => {
  const path = `/apis/policy/v1/namespaces/${CONNECT}/poddisruptionbudgets`;
  await newSession(CONNECT);
  await server.admin().request({
    method: 'POST',
    path,
    body: {
      metadata: {
        name: 'of-others',
        labels: {
          'app.kubernetes.io/managed-by': 'spark-gateway',
          'spark-gateway.io/gateway': 'spark-gateway',
        },
      },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'x' } } },
    },
  });
  await newSession(CONNECT);
  t.truthy(await server.admin().request({ path: `${path}/of-others` }));
});
