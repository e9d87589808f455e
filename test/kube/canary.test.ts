/** Drivers of another template for a share of the sessions, on a real API server. */
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { VARIANT_ANNOTATION } from '../../src/lib/kubernetes/ownership.js';
import type { KubernetesList, KubernetesObject, Pod } from '../../src/lib/kubernetes/objects.js';
import type { DriverTemplate } from '../../src/discovery/kubernetes/template.js';
import { AssignmentClient } from '../support/assignment-client.js';
import { ControlPlane, TEMPLATES } from './control-plane.js';
import { requestOf } from './load.js';
import { startCluster } from './replicas.js';
import { openGateway, TEMPLATE, until } from './world.js';
import { unusedAddress } from '../support/loopback.js';

const STABLE = 'example.test/spark:4.1.3';
const NEXT = 'example.test/spark:4.3.0';

let cluster: Awaited<ReturnType<typeof startCluster>>;

test.before(async () => {
  cluster = await startCluster();
});
test.after.always(() => cluster?.stop());

async function newNamespace(prefix: string): Promise<string> {
  const namespace = `${prefix}-${randomUUID().slice(0, 8)}-dev`;
  await cluster.server.createNamespace(namespace);
  return namespace;
}

/** The driver's image, by the uid of its pod. */
async function images(namespace: string): Promise<ReadonlyMap<string, string | undefined>> {
  const pods = await cluster.server
    .admin()
    .request<KubernetesList<Pod & { spec: { containers: { image: string }[] } }>>({
      path: `/api/v1/namespaces/${namespace}/pods`,
    });
  return new Map(
    pods.items.map(({ metadata, spec }) => [metadata.uid ?? '', spec.containers[0]?.image]),
  );
}

function bothReady(drivers: readonly { readonly condition: string }[]): boolean {
  return drivers.filter(({ condition }) => condition === 'ready').length === 2;
}

const plurals = {
  SparkConnect: 'v1alpha1/sparkconnects',
  SparkApplication: 'v1beta2/sparkapplications',
};
const main = { type: 'Python', file: 'local:///main.py' } as const;

for (const kind of ['SparkConnect', 'SparkApplication'] as const) {
  test.serial(
    `a ${kind} of a canary is made from its template, and every control plane knows it as one`,
    async (t) => {
      const namespace = await newNamespace('sjns');
      const template: DriverTemplate = {
        ...TEMPLATE,
        kind,
        ...(kind === 'SparkApplication' && { main }),
      };
      const variants = { next: { ...template, sparkVersion: '4.3.0', image: NEXT } };
      const gateway = await openGateway(t, cluster.server, [namespace], { template, variants });
      await gateway.factory.create('own', namespace);
      await gateway.factory.create('canary', namespace, 'next');
      const found = await until(gateway, bothReady);
      const [version, plural] = plurals[kind].split('/');
      const resources = await cluster.server.admin().request<KubernetesList<KubernetesObject>>({
        path: `/apis/sparkoperator.k8s.io/${version}/namespaces/${namespace}/${plural}`,
      });
      t.deepEqual(
        resources.items.map(({ metadata }) => [
          metadata.name,
          metadata.annotations?.[VARIANT_ANNOTATION],
        ]),
        [
          ['canary', 'next'],
          ['own', undefined],
        ],
      );
      const imageOf = await images(namespace);
      const seen = (drivers: typeof found) =>
        Object.fromEntries(
          drivers.map(({ resource, variant, uid }) => [resource, [variant, imageOf.get(uid)]]),
        );
      const expected = { canary: ['next', NEXT], own: [undefined, STABLE] };
      t.deepEqual(seen(found), expected);
      const another = await openGateway(t, cluster.server, [namespace], { template, variants });
      t.deepEqual(seen(await until(another, bothReady)), expected);
      const requested = await another.factory.list();
      t.is(requested.length, 2);
      t.true(requested.every(({ outdated = false }) => !outdated));
    },
  );
}

test.serial('a canary whose template is missing makes no driver, and says so', async (t) => {
  const namespace = await newNamespace('sjns');
  const { factory } = await openGateway(t, cluster.server, [namespace]);
  await t.throwsAsync(factory.create('canary', namespace, 'next'), { message: /next/ });
  t.deepEqual(await factory.list(), []);
});

test.serial(
  'sessions of a canary run on its drivers; when it ends they stay there, and new ones get the pool’s own',
  async (t) => {
    const { server } = cluster;
    const namespace = await newNamespace('gateway');
    const drivers = await newNamespace('sjns');
    const [own] = TEMPLATES.templates;
    const next = { ...own, name: 'next', spark_version: '4.3.0', image: NEXT };
    const controlPlane = await ControlPlane.start({
      server,
      host: await unusedAddress(),
      namespace,
      drivers,
      pool: { size: 1, maximum: 3 },
      leaseMs: 6_000,
      files: {
        templates: { templates: [own, next] },
        policy: {
          canaries: [
            { template: 'next', share: '100%', when_none_is_ready: 'wait', size: 1, maximum: 2 },
          ],
        },
      },
    });
    t.teardown(() => controlPlane.stop());
    const client = new AssignmentClient(controlPlane.assignments);
    t.teardown(() => client.close());
    const imageFor = async (sessionId: string) => {
      let driver = '';
      await controlPlane.until('to give the session a driver', async () => {
        const assignment = await client.assign(requestOf(sessionId, drivers));
        driver = assignment?.driverUid ?? '';
        return driver !== '';
      });
      return (await images(drivers)).get(driver);
    };

    const early = randomUUID();
    t.is(await imageFor(early), NEXT);

    controlPlane.writePolicy({ canaries: [] });
    await controlPlane.until('to end the drivers of the canary that nobody uses', async () => {
      const running = [...(await images(drivers)).values()];
      return running.filter((image) => image === NEXT).length === 1 && running.includes(STABLE);
    });
    t.is(await imageFor(randomUUID()), STABLE);
    await controlPlane.kill();
    await controlPlane.restart();
    t.is(await imageFor(early), NEXT, 'the session is where it was');
  },
);
