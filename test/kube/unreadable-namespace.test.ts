import test from 'ava';
import { randomUUID } from 'node:crypto';
import type { DriverView } from '../../src/model/admin-api.js';
import { manifests } from '../support/kube-manifests.js';
import { ControlPlane } from './control-plane.js';
import { startCluster } from './replicas.js';
import { unusedAddress } from '../support/loopback.js';

const GATEWAY = 'spark-gateway';
const ACCOUNT = 'spark-gateway-control-plane';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

function bind(namespace: string): Promise<void> {
  return cluster.server.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'spark-gateway-drivers', namespace },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'spark-gateway-drivers',
    },
    subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: GATEWAY }],
  });
}

function unbind(namespace: string): Promise<unknown> {
  return cluster.server.admin().request({
    method: 'DELETE',
    path: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings/spark-gateway-drivers`,
  });
}

test.serial(
  'with rights by namespace, a missing RoleBinding stops no other namespace',
  async (t) => {
    const { server } = cluster;
    const [ads = '', etl = ''] = ['ads', 'etl'].map(
      (team) => `sjns-${team}${randomUUID().slice(0, 6)}-dev`,
    );
    for (const namespace of [GATEWAY, ads, etl]) await server.createNamespace(namespace);
    for (const object of manifests('k8s/rbac.yaml')) {
      if (object.kind !== 'ClusterRoleBinding') await server.apply(object);
    }
    // A namespace that is listed before it has its RoleBinding.
    await bind(ads);
    const kubeConfig = await server.serviceAccountConfig(GATEWAY, ACCOUNT);
    const warm = { warm_namespaces: [ads, etl] };
    const controlPlane = await ControlPlane.start({
      server,
      host: await unusedAddress(),
      namespace: GATEWAY,
      drivers: ads,
      pool: { size: 2, maximum: 4 },
      leaseMs: 4_000,
      files: {
        kubeconfig: kubeConfig.exportConfig(),
        kubernetes: { namespaces: [ads, etl] },
        policy: warm,
      },
    });
    t.teardown(() => controlPlane.stop());
    const available = async (namespace: string, count: number) => {
      const found = (await controlPlane.drivers()).filter(
        (one: DriverView) => one.namespace === namespace && one.phase === 'available',
      );
      return found.length >= count;
    };
    await controlPlane.until('to serve what it may', () => available(ads, 2));
    t.true(
      (await controlPlane.problems()).some(({ message }) =>
        message.includes(`namespaces/${etl}/pods cannot be read`),
      ),
    );
    t.false(await available(etl, 1));

    await bind(etl);
    await controlPlane.until('to serve both', () => available(etl, 2));

    await unbind(etl);
    await controlPlane.kill();
    await controlPlane.restart();
    controlPlane.writePolicy({
      ...warm,
      pools: [{ size: '3', maximum: '4', sessions_per_driver: '1', after_use: 'replace' }],
    });
    await controlPlane.until('to make drivers where it may', () => available(ads, 3));
    const kept = (await controlPlane.drivers()).filter(({ namespace }) => namespace === etl);
    t.deepEqual(
      kept.map(({ phase, routable }) => [phase, routable]),
      [
        ['available', true],
        ['available', true],
      ],
      'drivers in doubt stay where they are',
    );
    await bind(etl);
    await controlPlane.until('to heal', () => available(etl, 3));
  },
);
