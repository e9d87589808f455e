import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { parse } from 'yaml';
import { Reflector } from '../../src/lib/kubernetes/reflector.js';
import type { KubernetesObject } from '../../src/lib/kubernetes/objects.js';
import { systemClock } from '../../src/model/clock.js';
import type {
  Condition,
  PolicyResourceStatus,
} from '../../src/policy/sources/policy-resource-status.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';
import { operatorCrds } from '../support/kube-manifests.js';
import { Signal } from '../support/signal.js';
import { AuthzProcess } from './authz-process.js';
import { ControlPlane } from './control-plane.js';
import { unusedAddress } from '../support/loopback.js';

const HOSTS = [await unusedAddress(), await unusedAddress()] as const;
const SIDECAR = await unusedAddress();
let server: KubeApiServer;

test.before(async () => {
  server = await KubeApiServer.shared();
  for (const name of ['sparkdrivers', 'routingpolicies']) {
    await server.apply(parse(readFileSync(`k8s/crd/${name}.yaml`, 'utf8')) as ApplicableObject);
  }
  for (const crd of operatorCrds()) await server.apply(crd);
});
test.after.always(() => server?.stop());

/** Lets the machines of a network use one team's drivers. */
function policyFor(team: string, environment = 'dev') {
  return {
    source_networks: [{ name: 'lab', networks: ['192.0.2.0/24'] }],
    targets: { namespace: 'sjns-{team}-{environment}', environments: ['dev'] },
    access: [{ who: { services: ['lab'] }, what: { teams: [team], environments: [environment] } }],
    pools: [{ size: 0, maximum: 1 }],
  };
}

interface PolicyObject extends KubernetesObject {
  readonly status?: PolicyResourceStatus;
}

/** A gateway's namespace, its policy `main`, and all that becomes of it. */
async function openWorld(t: ExecutionContext) {
  const name = randomUUID().slice(0, 8);
  const namespace = `gateway-${name}`;
  const drivers = `sjns-${name}-dev`;
  await server.createNamespace(namespace);
  await server.createNamespace(drivers);
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${namespace}/routingpolicies`;
  const admin = server.admin();
  const seen: PolicyObject[] = [];
  const changes = new Signal<void>();
  const reflector = new Reflector<PolicyObject>({
    api: admin,
    path,
    keep(object) {
      seen.push(object);
      return object;
    },
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    onChange: () => changes.emit(),
  });
  reflector.start();
  t.teardown(() => reflector.stop());
  const start = (host: string) =>
    ControlPlane.start({
      server,
      host,
      namespace,
      drivers,
      pool: { size: 0, maximum: 1 },
      leaseMs: 3_000,
      files: { settings: { policy_resource: 'main' } },
    });
  const [address] = HOSTS;
  const authz = new AuthzProcess(SIDECAR, {
    policy_resource: 'main',
    drivers: { source: 'kubernetes', kubernetes: { templates_file: 'templates.yaml' } },
    assignments: { connect_addr: `${address}:18001` },
  });
  t.teardown(() => authz.stop());
  return {
    authz,
    start,
    /** Every state of the resource, in order. */
    seen,
    async apply(spec: object) {
      await admin.request({
        method: 'PATCH',
        path: `${path}/main`,
        contentType: 'application/apply-patch+yaml',
        query: { fieldManager: 'test', force: true },
        body: {
          apiVersion: 'spark-gateway.io/v1alpha1',
          kind: 'RoutingPolicy',
          metadata: { name: 'main' },
          spec,
        },
      });
    },
    remove: () => admin.request({ method: 'DELETE', path: `${path}/main` }),
    /** Waits until the conditions are for the newest spec, and returns them. */
    async conditions(): Promise<Record<Condition['type'], Condition>> {
      for (;;) {
        await reflector.refresh();
        const [object] = reflector.values();
        const { observedGeneration, conditions = [] } = object?.status ?? {};
        if (object && observedGeneration === object.metadata.generation) {
          const byType = Object.fromEntries(conditions.map((one) => [one.type, one]));
          return byType as Record<Condition['type'], Condition>;
        }
        await changes.next();
      }
    },
    version: () => [...reflector.values()][0]?.status?.inForce?.version,
    /** Which teams the sidecar's policy lets this caller use. */
    async decidesFor(team: string) {
      await authz.until(`to decide for ${team}`, async () => {
        const { message } = await authz.refusal({
          headers: { 'x-doordash-team': 'nobodys', 'x-doordash-environment': 'dev' },
        });
        return message.includes(`You may use: team ${team} in dev.`);
      });
    },
  };
}

const isBad = (replica: ControlPlane) => async () =>
  (await replica.metric('spark_gateway_policy_bad')) === 1;

test('a policy resource: a bad one never takes effect, nor at a restart; a good one does everywhere', async (t) => {
  const world = await openWorld(t);
  const { authz } = world;
  await authz.until('to wait', async () => (await authz.readiness()).startsWith('503 a first'));
  await t.throwsAsync(authz.refusal({}), { message: /UNAVAILABLE/ }, 'nobody decides');

  await world.apply(policyFor('ads', 'prod'));
  const starting = world.start(HOSTS[0]);
  const none = await world.conditions();
  t.like(none.Accepted, { status: 'False', reason: 'Invalid' });
  t.like(none.Programmed, { status: 'False', reason: 'NoGoodPolicy' });

  await world.apply(policyFor('ads'));
  const one = await starting;
  const two = await world.start(HOSTS[1]);
  t.teardown(() => Promise.all([one.stop(), two.stop()]));
  const good = await world.conditions();
  t.like(good.Accepted, { status: 'True', reason: 'Valid' });
  t.like(good.Programmed, { status: 'True', reason: 'InForce' });
  const first = world.version();
  t.truthy(first);
  await world.decidesFor('ads');
  t.is(authz.modeOf('policy-of-authz.yaml'), 0o600);

  await world.apply(policyFor('search', 'prod'));
  const bad = await world.conditions();
  t.like(bad.Accepted, { status: 'False', reason: 'Invalid' });
  t.regex(bad.Accepted.message, /^spec\.access\[0\]\.what\.environments: .*"prod".*dev/);
  t.like(bad.Programmed, { status: 'False', reason: 'LastGoodInForce' });
  t.is(world.version(), first);
  for (const replica of [one, two]) {
    await replica.until('to report it', isBad(replica));
    t.is(await replica.metric('spark_gateway_problems{kind="policy_invalid"}'), 1);
  }
  await world.decidesFor('ads');

  await Promise.all([one.stop(), two.stop()]);
  await authz.restart();
  await world.decidesFor('ads');
  const again = await Promise.all(HOSTS.map((host) => world.start(host)));
  t.teardown(() => Promise.all(again.map((replica) => replica.stop())));
  for (const replica of again) await replica.until('to report it', isBad(replica));
  t.is(world.version(), first, 'pods that keep nothing begin with what the status holds');
  await world.decidesFor('ads');

  await world.apply(policyFor('search'));
  await world.decidesFor('search');
  t.like((await world.conditions()).Programmed, { status: 'True' });
  t.not(world.version(), first);

  await world.remove();
  for (const replica of again) await replica.until('to report it', isBad(replica));
  await world.decidesFor('search');

  const generations = new Set(world.seen.map(({ metadata }) => metadata.generation));
  const versions = new Set(world.seen.map(({ metadata }) => metadata.resourceVersion));
  t.true(versions.size <= 2 * generations.size, 'each spec and its status are written once');
});
