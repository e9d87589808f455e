import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import { KubernetesDrivers } from '../../src/discovery/kubernetes/kubernetes-drivers.js';
import type { ApiRequest } from '../../src/lib/kubernetes/kubernetes-api.js';
import { DriverResources } from '../../src/discovery/kubernetes/driver-resources.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { EventWriter } from '../../src/lib/kubernetes/event-writer.js';
import { loadGatewayKey } from '../../src/lib/kubernetes/ownership.js';
import { systemClock } from '../../src/model/clock.js';
import { namespaceReference } from '../../src/model/fleet-problem.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { KeptPolicy } from '../../src/policy/sources/last-good.js';
import { PolicyResource } from '../../src/policy/sources/policy-resource.js';
import type { PolicyResourceStatus } from '../../src/policy/sources/policy-resource-status.js';
import { KubernetesFactory } from '../../src/discovery/kubernetes/factory.js';
import { compileTemplates } from '../../src/discovery/kubernetes/template-file.js';
import { KubernetesRecordMirror } from '../../src/fleet/records/kubernetes-mirror.js';
import { KubernetesRecordStore } from '../../src/fleet/records/kubernetes-store.js';
import { KubernetesLease } from '../../src/fleet/records/kubernetes-lease.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { policyOptions } from '../../src/settings/policy-options.js';
import { driverRecord } from '../support/driver-records.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';
import { manifests, operatorCrds } from '../support/kube-manifests.js';
import { TestLeadership } from '../support/leadership.js';
import { Signal } from '../support/signal.js';
import { until } from './until.js';

const logger = pino({ level: 'silent' });
const clock = systemClock;
let server: KubeApiServer;

function files(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => join(folder, name));
}

const all: readonly ApplicableObject[] = files('k8s').flatMap(manifests);

function find(kind: string, name: string): ApplicableObject {
  const found = all.find((object) => object.kind === kind && object.metadata.name === name);
  if (!found) throw new Error(`There is no ${kind} ${name}.`);
  return found;
}

test.before(async () => {
  server = await KubeApiServer.shared();
  for (const crd of [...files('k8s/crd').flatMap(manifests), ...operatorCrds()]) {
    await server.apply(crd);
  }
  await server.apply(find('Namespace', 'spark-gateway'));
  await server.createNamespace('sjns-example-dev');
  for (const object of all.filter(({ apiVersion }) => apiVersion.startsWith('rbac.'))) {
    await server.apply(object);
  }
});
test.after.always(() => server?.stop());

for (const object of all) {
  test(`the API server accepts ${object.kind} ${object.metadata.name} without a doubt`, async (t) => {
    const path = await server.collectionPath(object);
    await t.notThrowsAsync(
      server.admin().request({
        method: 'PATCH',
        path: `${path}/${object.metadata.name}`,
        contentType: 'application/apply-patch+yaml',
        query: { dryRun: 'All', fieldValidation: 'Strict', fieldManager: 'test', force: true },
        body: object,
      }),
    );
  });
}

for (const { metadata, spec } of all.filter(({ kind }) => kind === 'Deployment')) {
  test(`the pods of ${metadata.name} fit the restricted security standard of their namespace`, async (t) => {
    const { template } = spec as { template: { metadata: object; spec: object } };
    await server.serviceAccount('spark-gateway', metadata.name);
    await t.notThrowsAsync(
      server.admin().request({
        method: 'POST',
        path: '/api/v1/namespaces/spark-gateway/pods',
        query: { dryRun: 'All', fieldValidation: 'Strict' },
        body: { metadata: { ...template.metadata, name: 'p' }, spec: template.spec },
      }),
    );
  });
}

test('an Envoy that ends has 150 s for what runs, and its sidecar outlives it', (t) => {
  const { spec } = find('Deployment', 'spark-gateway-envoy') as unknown as {
    spec: { template: { spec: PodSpec } };
  };
  const pod = spec.template.spec;
  const container = (name: string) => pod.containers.find((one) => one.name === name);
  const envoy = container('envoy');
  const untilTold = envoy?.lifecycle.preStop.sleep?.seconds ?? 0;
  t.true(untilTold >= 150);
  const drain = envoy?.args.find((argument) => argument.startsWith('--drain-time-s='));
  t.true(Number(drain?.split('=')[1]) >= 150);
  const [, , script = ''] = container('authz')?.lifecycle.preStop.exec?.command ?? [];
  const stays = Number(/setTimeout\(.*?, (\d+)\)/.exec(script)?.[1]) / 1000;
  t.true(stays > untilTold);
  t.true(pod.terminationGracePeriodSeconds > stays);
});

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly {
    readonly name: string;
    readonly args: readonly string[];
    readonly lifecycle: {
      readonly preStop: {
        readonly sleep?: { readonly seconds: number };
        readonly exec?: { readonly command: readonly string[] };
      };
    };
  }[];
}

test('the settings, the policy and the templates of the ConfigMap are valid', (t) => {
  const { data } = find('ConfigMap', 'spark-gateway') as unknown as {
    data: Record<string, string>;
  };
  const settings = compileSettings({
    file: { name: 'settings.yaml', text: data['settings.yaml'] ?? '' },
    env: {},
    overrides: [],
    cwd: '/',
  });
  t.is(settings.drivers.source, 'kubernetes');
  const policy = compilePolicy(data['policy.yaml'] ?? '', 'policy.yaml', policyOptions(settings));
  t.is(policy.pool('sjns-example-prod')?.size, 10);
  const templates = compileTemplates(data['templates.yaml'] ?? '', 'templates.yaml', 1_800_000);
  t.is(templates.template('sjns-example-prod')?.kind, 'SparkConnect');
});

test('the rights of the control plane are enough for all it does', async (t) => {
  const api = await server.serviceAccount('spark-gateway', 'spark-gateway-control-plane');
  const namespace = 'spark-gateway';
  const key = await loadGatewayKey(api, namespace, 'spark-gateway-key');
  t.is(
    (await loadGatewayKey(api, namespace, 'spark-gateway-key')).sign('x'),
    key.sign('x'),
    'it is kept',
  );

  const epochs = new Signal<number | undefined>();
  const lease = new KubernetesLease({
    api,
    namespace,
    name: 'spark-gateway',
    identity: 'one',
    durationMs: 10_000,
    clock,
    logger,
  });
  lease.onChange((epoch) => epochs.emit(epoch));
  lease.start();
  t.is(await epochs.next(), 1);
  await lease.stop();

  const store = new KubernetesRecordStore({ api, namespace, clock, logger });
  const record = driverRecord('c7b2e9f0-54a3-4a71-8f1c-0e8c2a9b1d11');
  const first = await store.write(record, undefined);
  const second = await store.write({ ...record, reason: 'x' }, first);
  const mirror = new KubernetesRecordMirror({ api, namespace, clock, logger });
  await mirror.start();
  t.is([...mirror.records()].length, 1);
  await mirror.stop();
  await store.delete(record.uid, second);
  t.deepEqual(await store.list(), []);

  const resources = new DriverResources({
    api,
    namespaces: undefined,
    kinds: ['SparkConnect', 'SparkApplication'],
    gateway: 'spark-gateway',
    key,
    clock,
    logger,
  });
  const { data } = find('ConfigMap', 'spark-gateway') as unknown as {
    data: Record<string, string>;
  };
  const leadership = new TestLeadership();
  const factory = new KubernetesFactory({
    api,
    resources,
    gateway: 'spark-gateway',
    key,
    ...compileTemplates(data['templates.yaml'] ?? '', 'templates.yaml', 1_800_000),
    fence: Buffer.from('a jar'),
    maxMessageBytes: 1_000_000,
    podLabels: () => ({}),
    podsInDoubt: () => false,
    leadership,
    clock,
    logger,
    onChange: () => {},
  });
  const drivers = new KubernetesDrivers({
    api,
    resources,
    selectors: ['spark-role=connect-server'],
    namespaces: undefined,
    port: 15002,
    trusts: () => false,
    record: () => undefined,
    gateway: 'spark-gateway',
    leadership,
    key,
    clock,
    logger,
  });
  drivers.start();
  await resources.start();
  await factory.create('d1', 'sjns-example-dev');
  t.is((await factory.list())[0]?.resource, 'd1');
  await drivers.list();
  t.deepEqual(drivers.problems(), []);
  await factory.delete('d1', 'sjns-example-dev');
  for (const instance of ['one', 'two']) {
    const events = new EventWriter({ api, instance, allowed: () => true, clock, logger });
    events.report(
      [namespaceReference('sjns-example-dev'), namespaceReference(namespace)].map((regarding) => ({
        regarding,
        reason: 'PoolFailing',
        note: 'x',
      })),
    );
    await events.idle();
  }
  for (const of of ['sjns-example-dev', namespace]) {
    const path = `/apis/events.k8s.io/v1/namespaces/${of}/events`;
    const { items } = await server
      .admin()
      .request<{ items: { series?: { count: number } }[] }>({ path });
    t.deepEqual(
      items.map(({ series }) => series?.count),
      [2],
      'the second leader goes on with the Event of the first',
    );
  }
  await drivers.stop();
  await resources.stop();
});

test('the rights of the control plane are enough to watch the policy and to write its status', async (t) => {
  const namespace = 'spark-gateway';
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${namespace}/routingpolicies`;
  await server.admin().request({
    method: 'POST',
    path,
    body: {
      apiVersion: 'spark-gateway.io/v1alpha1',
      kind: 'RoutingPolicy',
      metadata: { name: 'main' },
      spec: { access: [], source_networks: [{ name: 'lab', networks: ['192.0.2.0/24'] }] },
    },
  });
  const written = new Signal<void>();
  const api = await server.serviceAccount(namespace, 'spark-gateway-control-plane');
  const { data } = find('ConfigMap', namespace) as unknown as { data: Record<string, string> };
  const settings = compileSettings({
    file: { name: 'settings.yaml', text: data['settings.yaml'] ?? '' },
    env: {},
    overrides: [],
    cwd: '/',
  });
  const folder = mkdtempSync(join(tmpdir(), 'policy-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const policy = await PolicyResource.open(
    {
      api: {
        request: async <T>(request: ApiRequest) => {
          const answer = await api.request<T>(request);
          if (request.method === 'PATCH') written.emit();
          return answer;
        },
        watch: (request) => api.watch(request),
      },
      namespace,
      name: 'main',
      compile: policyOptions(settings),
      kept: new KeptPolicy(join(folder, 'policy.yaml'), logger),
      leads: () => true,
      clock,
      logger,
    },
    new AbortController().signal,
  );
  await written.next();
  const { status } = await server
    .admin()
    .request<{ status: PolicyResourceStatus }>({ path: `${path}/main` });
  t.is(status.inForce?.version, policy?.status.version);
  await policy?.close();
});

for (const [what, request] of [
  [
    'change a pod',
    {
      method: 'PATCH',
      path: '/api/v1/namespaces/sjns-example-dev/pods/p',
      contentType: 'application/merge-patch+json',
      body: {},
    },
  ],
  [
    'make a pod',
    {
      method: 'POST',
      path: '/api/v1/namespaces/sjns-example-dev/pods',
      body: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [] } },
    },
  ],
  [
    'change a Service',
    {
      method: 'PATCH',
      path: '/api/v1/namespaces/sjns-example-dev/services/s',
      contentType: 'application/merge-patch+json',
      body: {},
    },
  ],
  ['read the Secrets of a team', { path: '/api/v1/namespaces/sjns-example-dev/secrets' }],
  ['read other Secrets of its own', { path: '/api/v1/namespaces/spark-gateway/secrets/other' }],
  [
    'change a SparkConnect',
    {
      method: 'PATCH',
      path: '/apis/sparkoperator.k8s.io/v1alpha1/namespaces/sjns-example-dev/sparkconnects/x',
      contentType: 'application/merge-patch+json',
      body: {},
    },
  ],
  [
    'change the policy',
    {
      method: 'PATCH',
      path: '/apis/spark-gateway.io/v1alpha1/namespaces/spark-gateway/routingpolicies/main',
      contentType: 'application/merge-patch+json',
      body: {},
    },
  ],
  ['see nodes', { path: '/api/v1/nodes' }],
] as const) {
  test(`the control plane may not ${what}`, async (t) => {
    const api = await server.serviceAccount('spark-gateway', 'spark-gateway-control-plane');
    const error = await t.throwsAsync(api.request(request), { instanceOf: KubernetesError });
    t.is(error?.status, 403);
  });
}

test('the API server treats the control plane and its lease by priority levels of their own', async (t) => {
  const schemas = all.filter(({ apiVersion }) => apiVersion.startsWith('flowcontrol.'));
  for (const object of schemas) await server.apply(object);
  const config = await server.serviceAccountConfig('spark-gateway', 'spark-gateway-control-plane');
  /** The FlowSchema that a request was taken in by, as the API server says it. */
  const schemaOf = async (path: string) => {
    const [response] = (await once(
      get(`${config.getCurrentCluster()?.server}${path}`, {
        rejectUnauthorized: false,
        agent: false,
        headers: { authorization: `Bearer ${config.getCurrentUser()?.token}` },
      }),
      'response',
    )) as [IncomingMessage];
    response.resume();
    const { items } = await server.admin().request<{
      items: readonly { readonly metadata: { readonly name: string; readonly uid: string } }[];
    }>({ path: '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas' });
    const uid = response.headers['x-kubernetes-pf-flowschema-uid'];
    return items.find(({ metadata }) => metadata.uid === uid)?.metadata.name;
  };
  const records = '/apis/spark-gateway.io/v1alpha1/namespaces/spark-gateway/sparkdrivers';
  // The API server takes up a FlowSchema a moment after it was made.
  const takenUp = { what: 'the FlowSchema to be in use', patienceMs: 20_000, log: () => '' };
  await until(async () => (await schemaOf(records)) === 'spark-gateway', takenUp);
  const lease = '/apis/coordination.k8s.io/v1/namespaces/spark-gateway/leases/spark-gateway';
  await until(async () => (await schemaOf(lease)) === 'spark-gateway-leader-election', takenUp);
  t.is(await schemaOf('/api/v1/namespaces/sjns-example-dev/pods'), 'spark-gateway');
});

test('Envoy and its sidecar may ask the API server for nothing', async (t) => {
  const api = await server.serviceAccount('spark-gateway', 'spark-gateway-envoy');
  const error = await t.throwsAsync(
    api.request({ path: '/api/v1/namespaces/spark-gateway/pods' }),
    { instanceOf: KubernetesError },
  );
  t.is(error?.status, 403);
});
