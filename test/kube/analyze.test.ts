/** `analyze` with a real API server: its reviews, its discovery, its dry run. */
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { missingDefinitions } from '../../src/cli/analysis/definitions.js';
import { missingRights, rightsForDrivers } from '../../src/cli/analysis/rights.js';
import { definitionsForDrivers, tryTemplates } from '../../src/cli/analysis/templates.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds } from '../support/kube-manifests.js';
import { TEMPLATE } from './world.js';

let server: KubeApiServer;

test.before(async () => {
  server = await KubeApiServer.shared();
});
test.after.always(() => server?.stop());

test('what k8s/ grants is enough, what is missing is found, and a dry run makes nothing', async (t) => {
  const namespace = `team-${randomUUID().slice(0, 8)}`;
  await server.createNamespace(namespace);
  const gateway = await server.serviceAccount(namespace, 'gateway');
  const cluster = { name: '', api: server.admin() };
  const account = { namespace, name: 'gateway' };
  const codes = async () => {
    const scope = { namespace, rights: rightsForDrivers(true), remedy: 'bind it' };
    const forAccount = await missingRights({ cluster, ...scope }, account);
    const forItself = await missingRights(
      { cluster: { name: '', api: gateway }, ...scope },
      undefined,
    );
    t.deepEqual(
      forAccount.map(({ code }) => code),
      forItself.map(({ code }) => code),
    );
    return forAccount.map(({ code }) => code);
  };
  t.deepEqual(await codes(), ['ROLE_BINDING_MISSING']);
  for (const object of manifests('k8s/rbac.yaml')) {
    if (object.kind === 'ClusterRole') await server.apply(object);
  }
  await server.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'spark-gateway-drivers', namespace },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'spark-gateway-drivers',
    },
    subjects: [{ kind: 'ServiceAccount', ...account }],
  });
  t.deepEqual(await codes(), []);

  const trial = {
    template: () => TEMPLATE,
    policy: undefined,
    gateway: 'g',
    maxMessageBytes: 1_000_000,
  };
  const needed = definitionsForDrivers([namespace], trial);
  const missing = await missingDefinitions(cluster, needed);
  t.deepEqual(
    missing.map(({ code }) => code),
    ['CRD_MISSING'],
  );
  t.deepEqual(
    (await tryTemplates(cluster, namespace, trial)).map(({ code }) => code),
    ['TEMPLATE_REFUSED'],
  );
  for (const crd of operatorCrds()) await server.apply(crd);
  t.deepEqual(await missingDefinitions(cluster, needed), []);
  t.deepEqual(await tryTemplates(cluster, namespace, trial), []);
  const made = await cluster.api.request<{ readonly items: readonly unknown[] }>({
    path: `/apis/sparkoperator.k8s.io/v1alpha1/namespaces/${namespace}/sparkconnects`,
  });
  t.deepEqual(made.items, []);
  // No value of a label, such as the gateway puts on what it makes.
  const refused = await tryTemplates(cluster, namespace, { ...trial, gateway: 'no label!' });
  t.deepEqual(
    refused.map(({ code }) => code),
    ['TEMPLATE_REFUSED'],
  );
});
