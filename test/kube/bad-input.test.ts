import { randomUUID } from 'node:crypto';
import test from 'ava';
import { MERGE_PATCH, type KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import type { KubernetesList, KubernetesObject } from '../../src/lib/kubernetes/objects.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds, SPARK_DRIVER_CRD } from '../support/kube-manifests.js';
import { ControlPlane } from './control-plane.js';
import { MISSING_IMAGE } from './stand-in/kubelet.js';
import { listeners, LoopbackAddresses } from './stand-in/runtime.js';
import { startStandIns } from './world.js';
import { unusedAddress } from '../support/loopback.js';

const GATEWAY = 'gateway';
/** Its pool is warm and good all the time. */
const GOOD = 'sjns-good-dev';
const REFUSED = 'sjns-refused-dev';
const IMAGELESS = 'sjns-imageless-dev';
const LIMITED = 'sjns-limited-dev';
/** Drivers that others run count here. */
const TRUSTED = 'sjns-trusted-dev';
const NAMESPACES = [GOOD, REFUSED, IMAGELESS, LIMITED, TRUSTED];

interface EventObject extends KubernetesObject {
  readonly reason: string;
  readonly note: string;
  readonly type: string;
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid?: string };
  readonly reportingController: string;
}

let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;
let admin: KubernetesApi;
let gateway: ControlPlane;

test.before(async () => {
  server = await KubeApiServer.shared();
  admin = server.admin();
  for (const crd of [...manifests(SPARK_DRIVER_CRD), ...operatorCrds()]) await server.apply(crd);
  for (const namespace of [GATEWAY, ...NAMESPACES]) await server.createNamespace(namespace);
  await admin.request({
    method: 'POST',
    path: `/api/v1/namespaces/${LIMITED}/resourcequotas`,
    body: { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } },
  });
  await admin.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${LIMITED}/resourcequotas/none/status`,
    contentType: MERGE_PATCH,
    body: { status: { hard: { pods: '0' }, used: { pods: '0' } } },
  });
  await refuseForbiddenImages();
  standIns = await startStandIns(server, listeners(await LoopbackAddresses.reserve()));
  gateway = await ControlPlane.start({
    server,
    host: await unusedAddress(),
    namespace: GATEWAY,
    drivers: GOOD,
    pool: { size: 1, maximum: 2 },
    leaseMs: 3_000,
    files: {
      kubernetes: { namespaces: NAMESPACES },
      policy: { warm_namespaces: NAMESPACES.slice(0, -1) },
      templates: templates('forbidden.test/spark:4.1.3'),
    },
  });
  await gateway.until('to have a driver', () => hasDriver(GOOD));
});
test.after.always(async () => {
  await gateway?.stop();
  await standIns?.stop();
  await server?.stop();
});

/** As a company does that lets images of its own registry run only. */
async function refuseForbiddenImages(): Promise<void> {
  const policy = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: 'images' },
    spec: {
      matchConstraints: {
        resourceRules: [
          {
            apiGroups: ['sparkoperator.k8s.io'],
            apiVersions: ['*'],
            operations: ['CREATE'],
            resources: ['sparkconnects'],
          },
        ],
      },
      validations: [
        {
          expression: "!object.spec.image.startsWith('forbidden.test/')",
          message: 'spec.image: use an image of our own registry',
        },
      ],
    },
  };
  await server.apply(policy);
  await server.apply({
    ...policy,
    kind: 'ValidatingAdmissionPolicyBinding',
    spec: { policyName: 'images', validationActions: ['Deny'] },
  });
  // It is in force a moment after it was accepted.
  for (;;) {
    try {
      await admin.request({
        method: 'POST',
        path: `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${REFUSED}/sparkconnects`,
        query: { dryRun: 'All' },
        body: {
          apiVersion: 'sparkoperator.k8s.io/v1alpha1',
          kind: 'SparkConnect',
          metadata: { name: 'x' },
          spec: { image: 'forbidden.test/x', sparkVersion: '4', server: {}, executor: {} },
        },
      });
    } catch {
      return;
    }
  }
}

function templates(imageOfRefused: string): object {
  const template = {
    kind: 'SparkConnect',
    spark_version: '4.1.3',
    image: 'example.test/spark:4.1.3',
    driver: { cores: '1', memory: '1g' },
    executor: { cores: '1', memory: '1g' },
  };
  const application = {
    ...template,
    kind: 'SparkApplication',
    main: { type: 'Python', file: 'local:///main.py' },
  };
  return {
    apiVersion: 'spark-gateway/v1alpha1',
    kind: 'DriverTemplates',
    trusted_namespaces: [TRUSTED],
    templates: [
      { ...template, namespaces: [REFUSED], image: imageOfRefused },
      { ...template, namespaces: [IMAGELESS], image: `example.test/${MISSING_IMAGE}` },
      { ...application, namespaces: [LIMITED] },
      template,
    ],
  };
}

async function hasDriver(namespace: string): Promise<boolean> {
  const drivers = await gateway.drivers();
  return drivers.some((driver) => driver.namespace === namespace && driver.phase === 'available');
}

async function events(namespace: string): Promise<readonly EventObject[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  return (await admin.request<KubernetesList<EventObject>>({ path })).items;
}

/** Waits until the problem is listed, counted, and told by an Event on the object; resolves with its message. */
async function reported(kind: string, namespace: string, name: string): Promise<string> {
  const find = async () =>
    (await gateway.problems()).find(
      (problem) => problem.kind === kind && namesIt(problem.object, namespace, name),
    );
  await gateway.until(`to report ${kind} of ${name}`, async () => (await find()) !== undefined);
  const problem = await find();
  const reason = kind.replaceAll(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
  await gateway.until(`to write the Event ${reason}`, async () =>
    (await events(namespace)).some(
      (event) =>
        event.regarding.name === name && event.reason === reason && event.type === 'Warning',
    ),
  );
  await gateway.until(
    'to count it',
    async () => (await gateway.metric(`spark_gateway_problems{kind="${kind}"}`)) > 0,
  );
  return problem?.message ?? '';
}

function namesIt(object: string | undefined, namespace: string, name: string): boolean {
  return object?.endsWith(` ${namespace}/${name}`) === true || object === `Namespace ${name}`;
}

async function settled(kind: string, name: string): Promise<void> {
  await gateway.until(`to be rid of ${kind} of ${name}`, async () =>
    (await gateway.problems()).every(
      (problem) => problem.kind !== kind || problem.object?.endsWith(name) !== true,
    ),
  );
}

/** A pod on a node that no stand-in runs. */
async function podElsewhere(namespace: string, name: string, podIP: string | undefined) {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  await admin.request({
    method: 'POST',
    path,
    body: {
      metadata: { name, labels: { 'spark-role': 'driver', 'spark-connect': 'enabled' } },
      spec: { nodeName: 'elsewhere', containers: [{ name: 'c', image: 'i' }] },
    },
  });
  await admin.request({
    method: 'PATCH',
    path: `${path}/${name}/status`,
    contentType: MERGE_PATCH,
    body: {
      status: {
        phase: 'Running',
        ...(podIP === undefined ? {} : { podIP, podIPs: [{ ip: podIP }] }),
        conditions: [{ type: 'Ready', status: 'True' }],
        containerStatuses: [
          {
            name: 'c',
            containerID: `x://${name}`,
            image: 'i',
            imageID: '',
            ready: true,
            restartCount: 0,
            state: { running: { startedAt: '2030-01-01T00:00:00Z' } },
          },
        ],
      },
    },
  });
}

function deletePod(namespace: string, name: string): Promise<unknown> {
  return admin.request({
    method: 'DELETE',
    path: `/api/v1/namespaces/${namespace}/pods/${name}`,
    query: { gracePeriodSeconds: 0 },
  });
}

for (const { what, labels, namespace, message } of [
  {
    what: 'a record that the gateway cannot read',
    labels: { 'app.kubernetes.io/managed-by': 'spark-gateway' },
    namespace: '',
    message: /tombstones\.x\.namespace/,
  },
  {
    what: 'a record that someone else made',
    labels: {},
    namespace: 'n',
    message: /the gateway did not make it/,
  },
]) {
  test.serial(`${what} is told, on the record itself, until it is deleted`, async (t) => {
    const uid = randomUUID();
    const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${GATEWAY}/sparkdrivers`;
    const at = '2024-01-01T00:00:00Z';
    await admin.request({
      method: 'POST',
      path,
      body: {
        apiVersion: 'spark-gateway.io/v1alpha1',
        kind: 'SparkDriver',
        metadata: { name: uid, labels },
        driver: { uid, instance: '', namespace: 'n', address: '', port: 1, createdAt: at },
        status: {
          phase: 'available',
          phaseSince: at,
          sessions: {},
          tombstones: {
            x: {
              principal: { issuer: '', subject: 's' },
              namespace,
              endedAt: at,
              end: 'expired',
            },
          },
          sessionCount: 0,
          epoch: 1,
          revision: 1,
        },
      },
    });
    t.regex(await reported('record_unreadable', GATEWAY, uid), message);
    t.true(await hasDriver(GOOD));
    await admin.request({ method: 'DELETE', path: `${path}/${uid}` });
    await settled('record_unreadable', uid);
  });
}

test.serial('a pod that is ready without an address is told until it has one', async (t) => {
  const podIP = await unusedAddress();
  await podElsewhere(TRUSTED, 'addressless', undefined);
  t.regex(await reported('pod_without_address', TRUSTED, 'addressless'), /has no IP address/);
  await admin.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${TRUSTED}/pods/addressless/status`,
    contentType: MERGE_PATCH,
    body: { status: { podIP, podIPs: [{ ip: podIP }] } },
  });
  await settled('pod_without_address', 'addressless');
  await gateway.until('to take it', () => hasDriver(TRUSTED));
  await deletePod(TRUSTED, 'addressless');
});

test.serial('of two pods with one address the later one is withheld and told', async (t) => {
  const podIP = await unusedAddress();
  await podElsewhere(TRUSTED, 'first', podIP);
  await gateway.until('to take the first', () => hasDriver(TRUSTED));
  await podElsewhere(TRUSTED, 'second', podIP);
  t.regex(
    await reported('address_duplicated', TRUSTED, 'second'),
    new RegExp(`its address ${podIP.replaceAll('.', '\\.')}:15002 is held by driver`),
  );
  const drivers = await gateway.drivers();
  t.is(
    drivers.filter(({ address, routable }) => address.startsWith(`${podIP}:`) && routable).length,
    1,
  );
  await deletePod(TRUSTED, 'second');
  await settled('address_duplicated', 'second');
  await deletePod(TRUSTED, 'first');
});

test.serial('a pod of someone else that looks like a driver is told and left out', async (t) => {
  const podIP = await unusedAddress();
  await podElsewhere(GOOD, 'lonely', podIP);
  t.regex(await reported('pod_foreign', GOOD, 'lonely'), /its namespace is not trusted/);
  t.false((await gateway.drivers()).some(({ address }) => address.includes(podIP)));
  await deletePod(GOOD, 'lonely');
  await settled('pod_foreign', 'lonely');
});

test.serial('a resource with our labels that we did not make is told and left alone', async (t) => {
  const path = `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${GOOD}/sparkconnects`;
  const { items } = await admin.request<KubernetesList<KubernetesObject & { spec: object }>>({
    path,
  });
  const { labels, annotations } = items[0]?.metadata ?? {};
  await admin.request({
    method: 'POST',
    path,
    body: {
      apiVersion: 'sparkoperator.k8s.io/v1alpha1',
      kind: 'SparkConnect',
      metadata: { name: 'forged', labels, annotations },
      spec: items[0]?.spec,
    },
  });
  t.regex(await reported('resource_foreign', GOOD, 'forged'), /did not make it/);
  await admin.request({ method: 'DELETE', path: `${path}/forged` });
  await settled('resource_foreign', 'forged');
});

test.serial('an image that cannot be pulled is told on the resource, with the pod', async (t) => {
  const path = `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${IMAGELESS}/sparkconnects`;
  const { items } = await admin.request<KubernetesList<KubernetesObject>>({ path });
  const name = items[0]?.metadata.name ?? '';
  t.regex(await reported('driver_start_failed', IMAGELESS, name), /ImagePullBackOff: Back-off/);
});

test.serial('a quota that is used up is told as the reason of its pool', async (t) => {
  t.regex(await reported('pool_failing', LIMITED, LIMITED), /exceeded quota: none/);
  const pools = await gateway.pools();
  t.regex(pools.find(({ namespace }) => namespace === LIMITED)?.failure ?? '', /exceeded quota/);
  const told = await events(LIMITED);
  t.true(told.some(({ regarding }) => regarding.kind === 'SparkApplication'));
});

test.serial(
  'a template that the API server refuses is told with its reason, and the pool fills when it is mended',
  async (t) => {
    t.regex(
      await reported('template_refused', REFUSED, REFUSED),
      /spec\.image: use an image of our own registry/,
    );
    t.regex(
      await reported('pool_failing', REFUSED, REFUSED),
      /spec\.image: use an image of our own registry/,
    );
    gateway.write('templates.yaml', templates('example.test/spark:4.1.3'));
    await gateway.until('to fill the pool', () => hasDriver(REFUSED));
    await settled('template_refused', REFUSED);
    await settled('pool_failing', REFUSED);
  },
);

test.serial(
  'templates and a policy that are not good are told, and the good ones stay',
  async (t) => {
    gateway.write('templates.yaml', 'kind: nonsense');
    gateway.write('policy.yaml', 'kind: nonsense');
    for (const kind of ['templates_invalid', 'policy_invalid']) {
      await gateway.until(`to report ${kind}`, async () =>
        (await gateway.problems()).some((problem) => problem.kind === kind),
      );
    }
    t.true(await hasDriver(GOOD));
  },
);

test.serial('the same note on the same object is one Event', async (t) => {
  for (const namespace of NAMESPACES) {
    const keys = (await events(namespace)).map(({ regarding, reason, note }) =>
      JSON.stringify([regarding, reason, note]),
    );
    t.deepEqual(keys, [...new Set(keys)]);
    const asPeopleAsk = await admin.request<KubernetesList<KubernetesObject>>({
      path: `/api/v1/namespaces/${namespace}/events`,
      query: { fieldSelector: 'reportingComponent=spark-gateway.io/control-plane' },
    });
    t.is(asPeopleAsk.items.length, keys.length);
  }
});
