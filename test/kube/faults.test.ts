import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { KubernetesApi, type WatchRequest } from '../../src/lib/kubernetes/kubernetes-api.js';
import type { DriverTemplate } from '../../src/discovery/kubernetes/template.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { operatorCrds } from '../support/kube-manifests.js';
import { TestLeadership } from '../support/leadership.js';
import { messages, openGateway, startStandIns, TEMPLATE, until } from './world.js';

let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;

test.before(async () => {
  server = await KubeApiServer.start();
  for (const crd of operatorCrds()) await server.apply(crd);
  standIns = await startStandIns(server);
});
test.after.always(async () => {
  await standIns?.stop();
  await server?.stop();
});

const application: DriverTemplate = {
  ...TEMPLATE,
  kind: 'SparkApplication',
  main: { type: 'Python', file: 'local:///main.py' },
};

async function newNamespace(): Promise<string> {
  const namespace = `sjns-${randomUUID().slice(0, 8)}-dev`;
  await server.createNamespace(namespace);
  return namespace;
}

/** A client of the API server whose connections can be cut. */
async function cuttable(t: ExecutionContext) {
  const config = server.adminConfig();
  const cluster = config.getCurrentCluster();
  const proxy = await CuttableProxy.start(cluster?.server ?? '');
  config.clusters = [{ ...cluster, name: 'test', server: proxy.url, skipTLSVerify: false }];
  const api = new KubernetesApi(config);
  t.teardown(() => {
    api.close();
    proxy.stop();
  });
  return { api, proxy };
}

test.serial(
  'while the API server cannot be reached no driver is lost, and what is missing is in doubt',
  async (t) => {
    const namespace = await newNamespace();
    const { api, proxy } = await cuttable(t);
    const gateway = await openGateway(t, server, [namespace], { api });
    await gateway.factory.create('d1', namespace);
    const [driver] = await until(gateway, ([first]) => first?.condition === 'ready');
    t.false(gateway.drivers.inDoubt({ namespace }));

    proxy.cut();
    await until(
      gateway,
      () => gateway.drivers.inDoubt({ namespace }) && gateway.resources.inDoubt(namespace, 1),
    );
    t.deepEqual(await gateway.drivers.list(), [driver]);
    t.false(gateway.drivers.inDoubt({ namespace: 'another' }));
    t.like((await gateway.factory.list())[0], { resource: 'd1', inDoubt: true });
    t.true(gateway.factory.inDoubt(namespace));

    proxy.heal();
    await until(gateway, () => !gateway.drivers.inDoubt({ namespace }));
    t.deepEqual(await gateway.drivers.list(), [driver]);
  },
);

test.serial(
  'what happened while the watch was cut and its history was compacted is found out',
  async (t) => {
    const namespace = await newNamespace();
    const { api, proxy } = await cuttable(t);
    const gateway = await openGateway(t, server, [namespace], { api, template: application });
    const other = await openGateway(t, server, [namespace], { template: application });
    await gateway.factory.create('d1', namespace);
    await gateway.factory.create('d2', namespace);
    const before = await until(
      gateway,
      (observed) => observed.every((d) => d.condition === 'ready') && observed.length === 2,
    );
    proxy.cut();
    await other.factory.delete('d1', namespace);
    await until(other, (observed) => observed.length === 1);
    await other.factory.create('d3', namespace);
    await server.compact();
    await server.restartApiServer();
    t.is((await gateway.drivers.list()).length, 2);
    proxy.heal();
    const after = await until(
      gateway,
      (observed) =>
        observed.length === 2 &&
        observed.every((d) => d.condition === 'ready' && d.resource !== 'd1'),
    );
    t.deepEqual(new Set(after.map(({ resource }) => resource)), new Set(['d2', 'd3']));
    t.deepEqual(
      after.find(({ resource }) => resource === 'd2'),
      before.find(({ resource }) => resource === 'd2'),
    );
  },
);

test.serial('a new leader reads afresh what its watch has not shown it yet', async (t) => {
  const namespace = await newNamespace();
  const admin = server.admin();
  // A watch that stays silent, as one on a connection that died unnoticed does.
  const silent = {
    request: admin.request.bind(admin),
    watch: async function* (request: WatchRequest) {
      request.onOpen?.();
      await new Promise<void>((resolve) => {
        request.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      yield* [];
    },
  };
  const leadership = new TestLeadership();
  leadership.held = undefined;
  const gateway = await openGateway(t, server, [namespace], {
    api: silent as unknown as KubernetesApi,
    leadership,
  });
  const other = await openGateway(t, server, [namespace]);
  await other.factory.create('d1', namespace);
  const [driver] = await until(other, ([first]) => first?.condition === 'ready');
  t.deepEqual(await gateway.drivers.list(), []);
  leadership.held = 2;
  t.true(gateway.drivers.inDoubt({ namespace }), 'an absence under the epoch before says nothing');
  t.deepEqual(await gateway.drivers.list(), [driver]);
  t.false(gateway.drivers.inDoubt({ namespace }));
});

test.serial('a driver that the watch says is gone is asked for once more', async (t) => {
  const namespace = await newNamespace();
  const admin = server.admin();
  const lie: { tell: (() => void) | undefined } = { tell: undefined };
  const lying = {
    request: admin.request.bind(admin),
    watch: async function* (request: WatchRequest) {
      for await (const event of admin.watch(request)) {
        yield event;
        const { object } = event;
        if (!request.path.endsWith('/pods') || !lie.tell) continue;
        yield { type: 'DELETED', object };
        lie.tell();
      }
    },
  };
  const gateway = await openGateway(t, server, [namespace], {
    api: lying as unknown as KubernetesApi,
  });
  await gateway.factory.create('d1', namespace);
  const [driver] = await until(gateway, ([first]) => first?.condition === 'ready');
  const told = new Promise<void>((resolve) => {
    lie.tell = resolve;
  });
  await admin.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${namespace}/pods/d1-server`,
    contentType: 'application/merge-patch+json',
    body: { metadata: { labels: { touched: 'true' } } },
  });
  await told;
  const observed = await gateway.drivers.list();
  t.deepEqual(
    observed.map(({ uid, resource, condition }) => [uid, resource, condition]),
    [[driver?.uid, 'd1', 'ready']],
  );
});

test.serial(
  'a namespace that may not be read is in doubt, and the others are served',
  async (t) => {
    const [open, closed] = [await newNamespace(), await newNamespace()];
    const api = await server.serviceAccount(open, 'gateway');
    await server.apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'gateway', namespace: open },
      rules: [
        { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] },
        {
          apiGroups: ['sparkoperator.k8s.io'],
          resources: ['sparkconnects', 'sparkapplications'],
          verbs: ['get', 'list', 'watch', 'create', 'delete'],
        },
        { apiGroups: [''], resources: ['secrets', 'configmaps'], verbs: ['create'] },
        {
          apiGroups: ['policy'],
          resources: ['poddisruptionbudgets'],
          verbs: ['list', 'watch', 'create', 'delete'],
        },
      ],
    });
    await server.apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'gateway', namespace: open },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'gateway' },
      subjects: [{ kind: 'ServiceAccount', name: 'gateway', namespace: open }],
    });
    const gateway = await openGateway(t, server, [open], { api, pods: [open, closed] });
    await gateway.factory.create('d1', open);
    await until(gateway, ([first]) => first?.condition === 'ready');
    t.false(gateway.drivers.inDoubt({ namespace: open }));
    t.true(gateway.drivers.inDoubt({ namespace: closed }));
    t.regex(messages(gateway), /cannot list resource "pods"/);
  },
);
