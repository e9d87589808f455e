import { randomUUID } from 'node:crypto';
import { KubeConfig } from '@kubernetes/client-node';
import test from 'ava';
import { hasStatus } from '../../src/lib/kubernetes/http.js';
import type { KubernetesList, KubernetesObject } from '../../src/lib/kubernetes/objects.js';
import { AssignmentClient } from '../support/assignment-client.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds, SPARK_DRIVER_CRD } from '../support/kube-manifests.js';
import { ControlPlane } from './control-plane.js';
import { listeners, LoopbackAddresses } from './stand-in/runtime.js';
import { startStandIns } from './world.js';
import { unusedAddress } from '../support/loopback.js';

const NAMESPACE = 'sjns-data-dev';
const CONNECTS = `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${NAMESPACE}/sparkconnects`;

/** The nearest has drivers only; the other one keeps the records, too. */
let near: KubeApiServer;
let far: KubeApiServer;
const standIns: Awaited<ReturnType<typeof startStandIns>>[] = [];
let gateway: ControlPlane;
let client: AssignmentClient;

function kubeconfig(clusters: Readonly<Record<string, KubeApiServer>>): string {
  const config = new KubeConfig();
  for (const [name, server] of Object.entries(clusters)) {
    const own = server.adminConfig();
    const cluster = own.getCurrentCluster();
    const user = own.getCurrentUser();
    if (!cluster || !user) throw new Error(`There is no access to ${name}.`);
    config.addCluster({ ...cluster, name });
    config.addUser({ ...user, name });
    config.addContext({ name, cluster: name, user: name });
  }
  return config.exportConfig();
}

test.before(async () => {
  [near, far] = await Promise.all([KubeApiServer.start(), KubeApiServer.start()]);
  for (const server of [near, far]) {
    for (const crd of operatorCrds()) await server.apply(crd);
    await server.createNamespace(NAMESPACE);
    standIns.push(await startStandIns(server, listeners(await LoopbackAddresses.reserve())));
  }
  for (const crd of manifests(SPARK_DRIVER_CRD)) await far.apply(crd);
  await far.createNamespace('gateway');
  await near.admin().request({
    method: 'POST',
    path: CONNECTS,
    body: {
      apiVersion: 'sparkoperator.k8s.io/v1alpha1',
      kind: 'SparkConnect',
      metadata: {
        name: 'of-another-gateway',
        labels: {
          'app.kubernetes.io/managed-by': 'spark-gateway',
          'spark-gateway.io/gateway': 'another',
        },
      },
      spec: { image: 'i', sparkVersion: '4', server: {}, executor: {} },
    },
  });
  gateway = await ControlPlane.start({
    server: far,
    host: await unusedAddress(),
    namespace: 'gateway',
    drivers: NAMESPACE,
    pool: { size: 1, maximum: 12 },
    leaseMs: 3_000,
    files: {
      kubeconfig: kubeconfig({ near, far }),
      kubernetes: { contexts: ['near', 'far'], home_context: 'far' },
    },
  });
  await gateway.until('to have its pool', () => hasIdleDriver());
  client = new AssignmentClient(gateway.assignments);
});
test.after.always(async () => {
  client?.close();
  await gateway?.stop();
  for (const one of standIns) await one.stop();
  await near?.stop();
  await far?.stop();
});
test.afterEach.always((t) => {
  if (!t.passed) t.log(gateway.log());
});

async function hasIdleDriver(): Promise<boolean> {
  return (await gateway.drivers()).some(({ phase, ready }) => phase === 'available' && ready);
}

/** Where the session is. */
async function assign(sessionId: string): Promise<{ uid: string; cluster: string | undefined }> {
  const assignment = await client.assign(
    {
      sessionId,
      principal: { issuer: 'https://idp.test', subject: `user-of-${sessionId}` },
      userId: 'user',
      team: 'data',
      environment: 'dev',
      namespace: NAMESPACE,
      mayCreate: true,
      holdMs: 90_000,
      method: 'Config',
    },
    { deadlineMs: 100_000 },
  );
  const uid = assignment?.driverUid ?? '';
  const driver = (await gateway.drivers()).find((candidate) => candidate.uid === uid);
  return { uid, cluster: driver?.cluster };
}

const early = randomUUID();
let earlyDriver: Awaited<ReturnType<typeof assign>>;

test.serial('a new session goes to the nearest cluster', async (t) => {
  earlyDriver = await assign(early);
  t.is(earlyDriver.cluster, 'near');
});

test.serial('records are kept in the home cluster and nowhere else', async (t) => {
  const path = '/apis/spark-gateway.io/v1alpha1/namespaces/gateway/sparkdrivers';
  const { items } = await far.admin().request<KubernetesList<KubernetesObject>>({ path });
  t.true(items.some(({ metadata }) => metadata.name === earlyDriver.uid));
  const error = await t.throwsAsync(near.admin().request({ path }));
  t.true(hasStatus(error, 404));
});

test.serial('when the nearest cluster is full, drivers are made in the next one', async (t) => {
  await gateway.until('to fill its pool', hasIdleDriver);
  const { items } = await near
    .admin()
    .request<KubernetesList<KubernetesObject>>({ path: CONNECTS });
  const hard = { 'count/sparkconnects.sparkoperator.k8s.io': String(items.length) };
  const path = `/api/v1/namespaces/${NAMESPACE}/resourcequotas`;
  await near.admin().request({
    method: 'POST',
    path,
    body: { metadata: { name: 'full' }, spec: { hard } },
  });
  await near.admin().request({
    method: 'PATCH',
    path: `${path}/full/status`,
    contentType: 'application/merge-patch+json',
    body: { status: { hard, used: hard } },
  });
  t.is((await assign(randomUUID())).cluster, 'near', 'what is there already is used first');
  t.is((await assign(randomUUID())).cluster, 'far');
  await near.admin().request({ method: 'DELETE', path: `${path}/full` });
});

test.serial(
  'while the nearest cluster is away its sessions stay where they are, and new ones go to the next',
  async (t) => {
    await near.killApiServer();
    await gateway.until('to doubt the drivers of that cluster', async () => {
      const drivers = await gateway.drivers();
      return drivers.every(({ cluster, ready }) => cluster !== 'near' || !ready);
    });
    t.deepEqual((await assign(early)).uid, earlyDriver.uid);
    t.is((await assign(randomUUID())).cluster, 'far');
    const driver = (await gateway.drivers()).find(({ uid }) => uid === earlyDriver.uid);
    t.like(driver, { phase: 'in_use', routable: true });
  },
);

test.serial('when it is back it takes new sessions again', async (t) => {
  await near.startApiServer();
  await gateway.until('to believe the drivers of that cluster', async () => {
    const driver = (await gateway.drivers()).find(({ uid }) => uid === earlyDriver.uid);
    const unreadable = (await gateway.problems()).some(({ kind }) => kind === 'unreadable');
    return driver?.ready === true && !unreadable;
  });
  t.deepEqual((await assign(early)).uid, earlyDriver.uid);
  await gateway.until('to give a session a driver of it', async () => {
    return (await assign(randomUUID())).cluster === 'near';
  });
  t.pass();
});

test.serial('nothing of another gateway was touched', async (t) => {
  await t.notThrowsAsync(near.admin().request({ path: `${CONNECTS}/of-another-gateway` }));
});
