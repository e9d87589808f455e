import { randomUUID } from 'node:crypto';
import test from 'ava';
import type { ApiRequest, KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import type { KubernetesList, KubernetesObject, Pod } from '../../src/lib/kubernetes/objects.js';
import { systemClock } from '../../src/model/clock.js';
import type { DriverTemplate } from '../../src/discovery/kubernetes/template.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { Signal } from '../support/signal.js';
import { operatorCrds } from '../support/kube-manifests.js';
import { TestLeadership } from '../support/leadership.js';
import { MISSING_IMAGE } from './stand-in/kubelet.js';
import { evict, markNotReady } from './stand-in/node-controller.js';
import { messages, openGateway, startStandIns, TEMPLATE, until } from './world.js';

let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;
let admin: KubernetesApi;

test.before(async () => {
  server = await KubeApiServer.shared();
  for (const crd of operatorCrds()) await server.apply(crd);
  admin = server.admin();
  standIns = await startStandIns(server);
});
test.after.always(async () => {
  await standIns?.stop();
  await server?.stop();
});

async function newNamespace(): Promise<string> {
  const namespace = `sjns-${randomUUID().slice(0, 8)}-dev`;
  await server.createNamespace(namespace);
  return namespace;
}

function pods(namespace: string): Promise<KubernetesList<Pod>> {
  return admin.request({ path: `/api/v1/namespaces/${namespace}/pods` });
}

const connects = (namespace: string) =>
  `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${namespace}/sparkconnects`;

const application: DriverTemplate = {
  ...TEMPLATE,
  kind: 'SparkApplication',
  main: { type: 'Python', file: 'local:///main.py' },
};

for (const template of [TEMPLATE, application]) {
  test(`a ${template.kind} becomes a driver that answers, with a token of its own`, async (t) => {
    const namespace = await newNamespace();
    const gateway = await openGateway(t, server, [namespace], { template });
    await gateway.factory.create('d1', namespace);
    t.like((await gateway.factory.list())[0], { resource: 'd1', namespace });
    const [driver] = await until(gateway, ([first]) => first?.condition === 'ready');
    const pod = (await pods(namespace)).items[0];
    t.is(driver?.uid, pod?.metadata.uid);
    t.like(driver, { resource: 'd1', namespace, port: 15002, address: pod?.status?.podIP });
    t.truthy(driver?.instance);
    const secret = await admin.request<{ data: { token: string } }>({
      path: `/api/v1/namespaces/${namespace}/secrets/d1-token`,
    });
    t.is(Buffer.from(secret.data.token, 'base64').toString(), driver?.token ?? 'none');
    t.true(JSON.stringify(pod?.spec).includes('d1-token'));
  });

  test(`deleting a ${template.kind} ends its driver and leaves nothing of it`, async (t) => {
    const namespace = await newNamespace();
    const gateway = await openGateway(t, server, [namespace], { template });
    await gateway.factory.create('d1', namespace);
    await gateway.factory.create('d1', namespace);
    await until(gateway, ([first]) => first?.condition === 'ready');
    await gateway.factory.delete('d1', namespace);
    await gateway.factory.delete('d1', namespace);
    await until(gateway, (observed) => observed.length === 0);
    await gateway.resources.refresh();
    t.deepEqual(await gateway.factory.list(), []);
    t.deepEqual((await pods(namespace)).items, []);
  });
}

test('a driver that crashes has ended, with the reason', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace], { template: application });
  await gateway.factory.create('d1', namespace);
  const [driver] = await until(gateway, ([first]) => first?.condition === 'ready');
  standIns.kubelet.crash(driver?.uid ?? '');
  const [ended] = await until(gateway, ([first]) => first?.condition === 'ended');
  t.regex(ended?.reason ?? '', /exit status 143/);
  t.is(ended?.uid, driver?.uid);
});

test('a pod that the operator makes anew under the same name is another driver', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace]);
  await gateway.factory.create('d1', namespace);
  const [first] = await until(gateway, ([driver]) => driver?.condition === 'ready');
  await admin.request({
    method: 'DELETE',
    path: `/api/v1/namespaces/${namespace}/pods/d1-server`,
  });
  const [second] = await until(
    gateway,
    ([driver]) => driver?.condition === 'ready' && driver.uid !== first?.uid,
  );
  t.is(second?.resource, 'd1');
  t.not(second?.instance, first?.instance);
});

test('an image that cannot be pulled is told as the reason while the driver starts', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace], {
    template: { ...TEMPLATE, image: `example.test/${MISSING_IMAGE}` },
  });
  await gateway.factory.create('d1', namespace);
  const [driver] = await until(gateway, ([first]) => first?.reason?.includes('ImagePull') === true);
  t.is(driver?.condition, 'starting');
});

test('a quota that is used up is told as the failure of a SparkApplication', async (t) => {
  const namespace = await newNamespace();
  await admin.request({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/resourcequotas`,
    body: { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } },
  });
  await admin.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${namespace}/resourcequotas/none/status`,
    contentType: 'application/merge-patch+json',
    body: { status: { hard: { pods: '0' }, used: { pods: '0' } } },
  });
  const gateway = await openGateway(t, server, [namespace], { template: application });
  const reported = new Signal<void>();
  gateway.resources.onChange(() => {
    for (const { state } of gateway.resources.values()) if (state !== '') reported.emit();
  });
  await gateway.factory.create('d1', namespace);
  await reported.next();
  const [request] = await gateway.factory.list();
  t.regex(request?.failure ?? '', /SUBMISSION_FAILED: .*exceeded quota: none/);
});

test('what the API server refuses is told as it said it, and leaves nothing behind', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace], {
    template: { ...TEMPLATE, driver: { cores: 0, memory: '1g' } },
  });
  await t.throwsAsync(gateway.factory.create('d1', namespace), {
    code: 'DRIVER_START_FAILED',
    message: /spec\.server\.cores.*greater than or equal to 1/,
  });
  t.deepEqual(await gateway.factory.list(), []);
});

test('resources and pods of others stay untouched and do not count, whatever their labels', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace]);
  await gateway.factory.create('ours', namespace);
  const ours = await admin.request<KubernetesObject & { spec: object }>({
    path: `${connects(namespace)}/ours`,
  });
  // Labels and annotations can be copied; the signature is of another name.
  await admin.request({
    method: 'POST',
    path: connects(namespace),
    body: {
      ...ours,
      metadata: {
        name: 'forged',
        labels: ours.metadata.labels,
        annotations: ours.metadata.annotations,
      },
    },
  });
  await admin.request({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/pods`,
    body: {
      metadata: {
        name: 'lonely',
        labels: { 'spark-role': 'driver', 'spark-connect': 'enabled' },
      },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    },
  });
  await until(gateway, ([driver]) => driver?.condition === 'ready');
  const observed = await until(gateway, () => gateway.drivers.problems().length >= 3);
  t.deepEqual(
    observed.map(({ resource }) => resource),
    ['ours'],
  );
  t.deepEqual(
    (await gateway.factory.list()).map(({ resource }) => resource),
    ['ours'],
  );
  await gateway.factory.delete('forged', namespace);
  t.truthy(await admin.request({ path: `${connects(namespace)}/forged` }));
  t.regex(messages(gateway), /lonely looks like a driver/);
  t.regex(messages(gateway), /forged carries this gateway's labels/);
});

test('drivers that others run count where their namespace is trusted, and are never ours to delete', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace], {
    drivers: { trusts: (name) => name === namespace },
  });
  await admin.request({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/pods`,
    body: {
      metadata: {
        name: 'someone',
        labels: { 'spark-role': 'driver', 'spark-connect': 'enabled' },
      },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    },
  });
  const [driver] = await until(gateway, ([first]) => first?.condition === 'ready');
  t.is(driver?.resource, undefined);
  t.deepEqual(await gateway.factory.list(), []);
});

test('a change of the template marks what was made before it', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace]);
  await gateway.factory.create('d1', namespace);
  t.is((await gateway.factory.list())[0]?.outdated, undefined);
  gateway.templates.current = { ...TEMPLATE, image: 'example.test/spark:4.2' };
  await gateway.factory.create('d2', namespace);
  t.deepEqual(
    (await gateway.factory.list()).map(({ resource, outdated }) => [resource, outdated]),
    [
      ['d1', true],
      ['d2', undefined],
    ],
  );
});

test('a new control plane adopts what the one before it made', async (t) => {
  const namespace = await newNamespace();
  const before = await openGateway(t, server, [namespace]);
  await before.factory.create('d1', namespace);
  const [driver] = await until(before, ([first]) => first?.condition === 'ready');
  const after = await openGateway(t, server, [namespace]);
  t.deepEqual(await after.drivers.list(), [driver]);
  t.is((await after.factory.list())[0]?.resource, 'd1');
});

for (const template of [TEMPLATE, application]) {
  test(`a ${template.kind} whose maker died half-way is completed by the next leader`, async (t) => {
    const namespace = await newNamespace();
    const dying = {
      request: <T>(request: ApiRequest): Promise<T> =>
        request.path.endsWith('/secrets') ? new Promise(() => {}) : admin.request(request),
      watch: admin.watch.bind(admin),
    };
    const api = dying as unknown as KubernetesApi;
    const first = await openGateway(t, server, [namespace], { api, template });
    void first.factory.create('d1', namespace);
    await until(first, ([driver]) => driver?.condition === 'starting');
    const leadership = new TestLeadership();
    const next = await openGateway(t, server, [namespace], { leadership, template });
    leadership.held = 2;
    await next.factory.list();
    const [driver] = await until(next, ([found]) => found?.condition === 'ready');
    t.like(driver, { resource: 'd1', namespace });
  });
}

test('a driver is kept when only the answer about its Secret was lost', async (t) => {
  const namespace = await newNamespace();
  const lossy = {
    request: async <T>(request: ApiRequest): Promise<T> => {
      const answer = await admin.request<T>(request);
      if (!request.path.endsWith('/secrets')) return answer;
      throw new KubernetesError(0, 'ECONNRESET', 'the answer was lost');
    },
    watch: admin.watch.bind(admin),
  };
  const gateway = await openGateway(t, server, [namespace], {
    api: lossy as unknown as KubernetesApi,
  });
  await gateway.factory.create('d1', namespace);
  const [driver] = await until(gateway, ([first]) => first?.condition === 'ready');
  t.like(driver, { resource: 'd1', namespace });
});

/** The machine's clock, with what a test adds to it. */
function skewedClock() {
  let aheadMs = 0;
  return {
    clock: { ...systemClock, now: () => systemClock.now() + aheadMs },
    skip: (ms: number) => (aheadMs += ms),
  };
}

test('a pod of a dead node is silent, then to end, and in the end a problem that is told', async (t) => {
  const namespace = await newNamespace();
  const { clock, skip } = skewedClock();
  const gateway = await openGateway(t, server, [namespace], { drivers: { clock } });
  await gateway.factory.create('d1', namespace);
  await until(gateway, ([driver]) => driver?.condition === 'ready');
  standIns.kubelet.loseNode(namespace);
  await markNotReady(admin, namespace);
  const [silent] = await until(gateway, ([driver]) => driver?.condition === 'not_ready');
  t.truthy(silent?.silentSinceMs);
  await evict(admin, namespace);
  const [ending] = await until(gateway, ([driver]) => driver?.condition === 'terminating');
  t.is(ending?.silentSinceMs, silent?.silentSinceMs, 'it is as silent as before');
  t.is(ending?.overdue, undefined);
  t.deepEqual(gateway.drivers.problems(), []);
  skip(120_000);
  const [overdue] = await gateway.drivers.list();
  t.true(overdue?.overdue);
  t.regex(messages(gateway), /d1-server was asked to end by .* and is still there/);
  standIns.kubelet.findNode(namespace);
});

test('a pod that lacks its token is withheld and told', async (t) => {
  const namespace = await newNamespace();
  standIns.operator.ignoresTemplatesIn.add(namespace);
  const gateway = await openGateway(t, server, [namespace], { template: application });
  await gateway.factory.create('d1', namespace);
  const [driver] = await until(
    gateway,
    ([first]) => first?.reason === 'Its pod was made without its token.',
  );
  t.is(driver?.condition, 'starting');
  t.regex(messages(gateway), /made without the token/);
});

test('the drivers of another gateway are left alone, without a word', async (t) => {
  const namespace = await newNamespace();
  const gateway = await openGateway(t, server, [namespace]);
  const other = await openGateway(t, server, [namespace], { gateway: 'other' });
  const trusting = await openGateway(t, server, [namespace], {
    gateway: 'third',
    drivers: { trusts: () => true },
  });
  await gateway.factory.create('d1', namespace);
  await until(gateway, ([driver]) => driver?.condition === 'ready');
  for (const { drivers, resources } of [other, trusting]) {
    await drivers.read();
    await resources.refresh();
    t.deepEqual(await drivers.list(), []);
    t.deepEqual(drivers.problems(), []);
  }
});

test('a pod that waits for its Secret at its start is no problem', async (t) => {
  const namespace = await newNamespace();
  const { clock, skip } = skewedClock();
  const gateway = await openGateway(t, server, [namespace], {
    drivers: { clock, trusts: () => true },
  });
  standIns.kubelet.loseNode(namespace);
  const path = `/api/v1/namespaces/${namespace}/pods`;
  await admin.request({
    method: 'POST',
    path,
    body: {
      metadata: { name: 'p', labels: { 'spark-role': 'driver', 'spark-connect': 'enabled' } },
      spec: { containers: [{ name: 'spark-kubernetes-driver', image: 'spark' }] },
    },
  });
  const waiting = { reason: 'CreateContainerConfigError', message: 'secret "p-token" not found' };
  await admin.request({
    method: 'PATCH',
    path: `${path}/p/status`,
    contentType: 'application/merge-patch+json',
    body: {
      status: {
        phase: 'Pending',
        containerStatuses: [
          {
            name: 'spark-kubernetes-driver',
            image: '',
            imageID: '',
            ready: false,
            restartCount: 0,
            state: { waiting },
          },
        ],
      },
    },
  });
  const [driver] = await until(gateway, (all) => all.length === 1);
  t.is(driver?.reason, 'Its pod is not ready yet.');
  t.deepEqual(gateway.drivers.problems(), []);
  skip(60_000);
  await gateway.drivers.list();
  t.regex(messages(gateway), /CreateContainerConfigError: secret "p-token" not found/);
});
