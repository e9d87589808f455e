import { readFileSync } from 'node:fs';
import test from 'ava';
import { pino } from 'pino';
import { parse } from 'yaml';
import { systemClock } from '../../src/model/clock.js';
import { KubernetesRecordMirror } from '../../src/fleet/records/kubernetes-mirror.js';
import { KubernetesRecordStore } from '../../src/fleet/records/kubernetes-store.js';
import { KubernetesLease } from '../../src/fleet/records/kubernetes-lease.js';
import { driverRecord } from '../support/driver-records.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';
import { Signal } from '../support/signal.js';

const logger = pino({ level: 'silent' });
const DURATION_MS = 3_000;
let server: KubeApiServer;

test.before(async () => {
  server = await KubeApiServer.start();
  await server.apply(parse(readFileSync('k8s/crd/sparkdrivers.yaml', 'utf8')) as ApplicableObject);
});
test.after.always(() => server?.stop());

function candidate(namespace: string, identity: string) {
  const epochs = new Signal<number | undefined>();
  const api = server.admin();
  const lease = new KubernetesLease({
    api,
    namespace,
    name: 'spark-gateway',
    identity,
    durationMs: DURATION_MS,
    clock: systemClock,
    logger,
  });
  lease.onChange((epoch) => epochs.emit(epoch));
  lease.start();
  return { lease, epochs, die: () => api.close() };
}

test.serial('a leader that died is replaced, and one that comes back follows', async (t) => {
  await server.createNamespace('gateway-1');
  const first = candidate('gateway-1', 'first');
  t.is(await first.epochs.next(), 1);
  const second = candidate('gateway-1', 'second');
  first.die();
  t.is(await second.epochs.next(), 2);
  t.is(await first.epochs.next(), undefined);
  await first.lease.stop();
  await second.lease.stop();
});

test.serial('while the API server is away nobody leads, and afterwards one does', async (t) => {
  await server.createNamespace('gateway-2');
  const only = candidate('gateway-2', 'only');
  t.is(await only.epochs.next(), 1);
  await server.freezeApiServer();
  t.is(await only.epochs.next(), undefined);
  await server.thawApiServer();
  t.truthy(await only.epochs.next());
  await only.lease.stop();
});

test.serial('a follower sees the records and what operators ask for', async (t) => {
  await server.createNamespace('gateway-3');
  const api = server.admin();
  const store = new KubernetesRecordStore({
    api,
    namespace: 'gateway-3',
    clock: systemClock,
    logger,
  });
  const record = driverRecord('5e0cbd6b-7c5f-4f39-b2a4-0f3d43de2d4c');
  const version = await store.write(record, undefined);
  const mirror = new KubernetesRecordMirror({
    api,
    namespace: 'gateway-3',
    clock: systemClock,
    logger,
  });
  const changes = new Signal<void>();
  await mirror.start();
  t.deepEqual([...mirror.records()], [record]);
  mirror.onChange(() => changes.emit());
  const available = { ...record, epoch: 3 };
  await store.write(available, version);
  await changes.next();
  t.deepEqual([...mirror.records()], [available]);
  await api.request({
    method: 'PATCH',
    path: `/apis/spark-gateway.io/v1alpha1/namespaces/gateway-3/sparkdrivers/${record.uid}`,
    contentType: 'application/merge-patch+json',
    body: { spec: { drain: { deadline: '2030-01-01T00:00:00Z' } } },
  });
  await changes.next();
  t.deepEqual(
    [...mirror.drains()],
    [[record.uid, { deadlineMs: Date.parse('2030-01-01T00:00:00Z') }]],
  );
  await mirror.stop();
});
