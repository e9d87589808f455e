import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { decodeRecord } from '../../src/records/kubernetes-codec.js';
import type { KubernetesList, KubernetesObject } from '../../src/kubernetes/types.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { AssignmentClient } from '../support/assignment-client.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';
import { operatorCrds } from '../support/kube-manifests.js';
import { ControlPlane } from './control-plane.js';
import { listeners, LoopbackAddresses } from './stand-in/runtime.js';
import { startStandIns } from './world.js';

const LEASE_MS = 3_000;
const HOSTS = ['127.91.30.2', '127.91.30.3'] as const;
let server: KubeApiServer;
let standIns: Awaited<ReturnType<typeof startStandIns>>;

test.before(async () => {
  server = await KubeApiServer.start();
  await server.apply(parse(readFileSync('k8s/crd/sparkdrivers.yaml', 'utf8')) as ApplicableObject);
  for (const crd of operatorCrds()) await server.apply(crd);
  standIns = await startStandIns(server, listeners(new LoopbackAddresses('127.91.31.')));
});
test.after.always(async () => {
  await standIns?.stop();
  await server?.stop();
});

/** Two replicas of a gateway of their own; `leader` is the one that leads. */
async function startReplicas(t: ExecutionContext, pool = { size: 4, maximum: 60 }) {
  const name = randomUUID().slice(0, 8);
  const namespace = `gateway-${name}`;
  const drivers = `sjns-${name}-dev`;
  await server.createNamespace(namespace);
  await server.createNamespace(drivers);
  const options = { server, namespace, drivers, pool, leaseMs: LEASE_MS };
  const replicas = await Promise.all(HOSTS.map((host) => ControlPlane.start({ ...options, host })));
  t.teardown(() => Promise.all(replicas.map((replica) => replica.stop())));
  const [one, two] = replicas;
  if (!one || !two) throw new Error('two replicas were to be started');
  const leads = async () => (await one.isLeading()) !== (await two.isLeading());
  await one.until('to lead, or the other', leads);
  const [leader, follower] = (await one.isLeading()) ? [one, two] : [two, one];
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${namespace}/sparkdrivers`;
  /** The records as the API server holds them. */
  const records = async (): Promise<DriverRecord[]> => {
    const list = await server.admin().request<KubernetesList<KubernetesObject>>({ path });
    return list.items.map((object) => decodeRecord(object).record);
  };
  const available = async (count: number) =>
    (await records()).filter(({ phase }) => phase === 'available').length >= count;
  await leader.until('to have its pool', () => available(pool.size));
  return { leader, follower, namespace, drivers, records, available, path };
}

function client(t: ExecutionContext, replica: ControlPlane): AssignmentClient {
  const made = new AssignmentClient(replica.assignments);
  t.teardown(() => made.close());
  return made;
}

function request(sessionId: string, namespace: string) {
  return {
    sessionId,
    principal: { issuer: 'https://idp.test', subject: `user-of-${sessionId}` },
    userId: 'user',
    team: namespace.split('-')[1] ?? '',
    environment: 'dev',
    namespace,
    mayCreate: true,
    holdMs: 60_000,
    method: 'Config',
  };
}

test.serial(
  "a follower passes on what it is asked, and its answers are the leader's",
  async (t) => {
    const { leader, follower, drivers, records } = await startReplicas(t);
    const id = randomUUID();
    const [asked, again] = await Promise.all([
      client(t, follower).assign(request(id, drivers)),
      client(t, leader).assign(request(id, drivers)),
    ]);
    t.is(asked?.driverUid, again?.driverUid);
    const record = (await records()).find(({ uid }) => uid === asked?.driverUid);
    t.truthy(record?.sessions[id]);
    t.is(record?.epoch, (await leader.status()).replica.epoch);
  },
);
