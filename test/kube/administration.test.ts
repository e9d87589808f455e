import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import type { DriverAnswer } from '../../src/model/admin-api.js';
import type { KubernetesObject } from '../../src/lib/kubernetes/objects.js';
import { TestAuthority } from '../support/certificates.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';
import { operatorCrds } from '../support/kube-manifests.js';
import { ControlPlane } from './control-plane.js';
import { listeners, LoopbackAddresses } from './stand-in/runtime.js';
import { startStandIns } from './world.js';
import { unusedAddress } from '../support/loopback.js';

const HOSTS = [await unusedAddress(), await unusedAddress()] as const;
const SERVER_NAME = 'spark-gateway-control-plane';
let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;

test.before(async () => {
  server = await KubeApiServer.shared();
  await server.apply(parse(readFileSync('k8s/crd/sparkdrivers.yaml', 'utf8')) as ApplicableObject);
  for (const crd of operatorCrds()) await server.apply(crd);
  standIns = await startStandIns(server, listeners(await LoopbackAddresses.reserve()));
});
test.after.always(async () => {
  await standIns?.stop();
  await server?.stop();
});

test('an operator may ask any replica: a follower passes on to the leader what is to be done and compared', async (t) => {
  const name = randomUUID().slice(0, 8);
  const namespace = `gateway-${name}`;
  const drivers = `sjns-${name}-dev`;
  await server.createNamespace(namespace);
  await server.createNamespace(drivers);
  const folder = mkdtempSync(join(tmpdir(), 'administration-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const names = { commonName: SERVER_NAME, dnsNames: [SERVER_NAME] };
  const tls = {
    ...new TestAuthority().writeFiles(folder, 'replica', names),
    serverName: SERVER_NAME,
  };
  const pool = { size: 2, maximum: 4 };
  const options = { server, namespace, drivers, pool, leaseMs: 3_000, tls };
  const replicas = await Promise.all(HOSTS.map((host) => ControlPlane.start({ ...options, host })));
  t.teardown(() => Promise.all(replicas.map((replica) => replica.stop())));
  const [one, two] = replicas;
  if (!one || !two) throw new Error('two replicas were to be started');
  const leads = async () => (await one.isLeading()) !== (await two.isLeading());
  await one.until('to lead, or the other', leads);
  const [leader, follower] = (await one.isLeading()) ? [one, two] : [two, one];

  const available = async () =>
    (await follower.drivers()).filter(({ phase }) => phase === 'available');
  await follower.until('to see the pool', async () => (await available()).length === pool.size);
  await follower.until(
    'to hear the leader',
    async () => (await follower.status()).unknown === undefined,
  );
  const [pooled] = await follower.pools();
  t.is(pooled?.waiting, 0, 'who waits is told by the leader');
  const [drained, evicted] = await available();
  const deadline = '2040-01-01T00:00:00.000Z';
  const answer = await follower.act<DriverAnswer>(`drivers/${drained?.uid}/drain`, { deadline });
  t.like(answer, { uid: drained?.uid, drainDeadline: deadline });
  const record = await server.admin().request<KubernetesObject & { spec?: object }>({
    path: `/apis/spark-gateway.io/v1alpha1/namespaces/${namespace}/sparkdrivers/${drained?.uid}`,
  });
  t.deepEqual(record.spec, { drain: { deadline } }, 'kubectl shows what was asked');

  const { text } = await leader.policy();
  const large = `${text.replace('size: "2"', 'size: "1"')}${'# a comment\n'.repeat(2000)}`;
  const [told, passedOn] = [await leader.diff(large), await follower.diff(large)];
  t.deepEqual(passedOn, told, 'a policy is compared by the leader, whoever is asked');
  t.like('counts' in told ? told.namespaces[0] : undefined, {
    namespace: drivers,
    fields: [{ field: 'pool.size', before: '2', after: '1' }],
  });
  const { problems } = await follower.diff(`${text}nonsense: 1\n`);
  t.regex(problems.join('\n'), /^candidate:\d+:1: "nonsense" is no field of a routing policy/);
  t.is((await leader.policy()).text, text);

  await follower.act(`drivers/${evicted?.uid}/evict`);
  await leader.until('to have replaced both', async () => {
    const phases = new Map((await leader.drivers()).map(({ uid, phase }) => [uid, phase]));
    const gone = [drained, evicted].every((driver) => phases.get(driver?.uid ?? '') === 'gone');
    return gone && [...phases.values()].filter((phase) => phase === 'available').length === 2;
  });
  t.deepEqual(
    follower.audited('admin').map(({ action, outcome }) => [action, outcome]),
    [
      ['driver.drain', 'done'],
      ['driver.evict', 'done'],
    ],
  );
  await t.throwsAsync(follower.act('drivers/nobody/drain'), { message: /404 .*DRIVER_UNKNOWN/s });
});
