/**
 * Discovery of many pods from a real API server: how long until all are known, what it keeps in
 * memory, how soon a pod that becomes ready is seen, and what it asks the API server at rest.
 * Usage: npm run bench:kube -- [--pods 5000] [--namespaces 1000] [--changes 200] [--rest-seconds 60]
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { KubernetesDrivers } from '../../src/discovery/kubernetes.js';
import { MERGE_PATCH, type KubernetesApi } from '../../src/kubernetes/api.js';
import { DriverResources } from '../../src/kubernetes/driver-resources.js';
import { GatewayKey } from '../../src/kubernetes/gateway-key.js';
import { systemClock } from '../../src/model/clock.js';
import { KubeApiServer } from '../../test/support/kube-api-server.js';
import { operatorCrds } from '../../test/support/kube-manifests.js';

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '5000' },
    namespaces: { type: 'string', default: '1000' },
    changes: { type: 'string', default: '200' },
    'rest-seconds': { type: 'string', default: '60' },
  },
});
const pods = Number(values.pods);
const namespaces = Number(values.namespaces);
const AT_ONCE = 16;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const server = await KubeApiServer.start();
try {
  for (const crd of operatorCrds()) await server.apply(crd);
  const admin = server.admin();
  const startedMs = Date.now();
  await each(namespaces, (n) => server.createNamespace(namespaceOf(n)));
  await each(pods, async (n) => {
    await makePod(admin, n);
    await setReady(admin, n, true);
  });
  console.log(`made ${pods} pods in ${namespaces} namespaces: ${seconds(startedMs)} s`);
  await measure();
} finally {
  await server.stop();
}

async function measure(): Promise<void> {
  let requests = 0;
  const api = server.admin(() => {
    requests += 1;
  });
  const logger = pino({ level: 'silent' });
  const key = new GatewayKey(Buffer.alloc(32));
  const shared = { api, namespaces: undefined, clock: systemClock, logger, key };
  const resources = new DriverResources({
    ...shared,
    kinds: ['SparkConnect', 'SparkApplication'],
    gateway: 'bench',
  });
  const drivers = new KubernetesDrivers({
    ...shared,
    resources,
    selectors: ['spark-role=driver,spark-connect=enabled', 'spark-role=connect-server'],
    port: 15002,
    trusts: () => true,
    isRecorded: () => false,
    leadership: { epoch: () => 1 },
  });
  collectGarbage();
  const before = process.memoryUsage();
  const startedMs = performance.now();
  drivers.start();
  await resources.start();
  const { length } = await drivers.list();
  console.log(`first list of ${length} drivers: ${ms(startedMs)} ms, ${requests} requests`);
  collectGarbage();
  const after = process.memoryUsage();
  console.log(
    `memory: heap ${mebibytes(after.heapUsed - before.heapUsed)}, RSS ${mebibytes(after.rss - before.rss)}`,
  );
  const listMs = performance.now();
  for (let n = 0; n < 20; n += 1) await drivers.list();
  console.log(`each further list: ${((performance.now() - listMs) / 20).toFixed(2)} ms`);

  const latencies: number[] = [];
  const writer = server.admin();
  for (let n = 0; n < Number(values.changes); n += 1) {
    const index = Math.floor((n * pods) / Number(values.changes));
    await setReady(writer, index, false);
    await seen(drivers, index, false);
    const fromMs = performance.now();
    await Promise.all([setReady(writer, index, true), seen(drivers, index, true)]);
    latencies.push(performance.now() - fromMs);
  }
  latencies.sort((a, b) => a - b);
  const percentile = (p: number) =>
    (latencies[Math.min(latencies.length - 1, Math.floor(p * latencies.length))] ?? 0).toFixed(1);
  console.log(
    `status written to driver ready: p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms`,
  );

  requests = 0;
  const restSeconds = Number(values['rest-seconds']);
  await pause(restSeconds * 1000);
  console.log(`at rest: ${((requests * 60) / restSeconds).toFixed(1)} requests a minute`);
  await drivers.stop();
  await resources.stop();
}

/** Looks at every change, as the pool controller does. */
async function seen(drivers: KubernetesDrivers, index: number, ready: boolean): Promise<void> {
  const address = addressOf(index);
  for (;;) {
    const changed = new Promise<void>((resolve) => {
      const stop = drivers.watch(() => {
        stop();
        resolve();
      });
    });
    const driver = (await drivers.list()).find((one) => one.address === address);
    if ((driver?.condition === 'ready') === ready) return;
    await changed;
  }
}

async function makePod(api: KubernetesApi, n: number): Promise<void> {
  await api.request({
    method: 'POST',
    path: `/api/v1/namespaces/${namespaceOf(n)}/pods`,
    body: {
      metadata: {
        name: `driver-${n}`,
        labels: { 'spark-role': 'driver', 'spark-connect': 'enabled', 'hot-cluster': 'true' },
      },
      spec: {
        nodeName: 'node',
        containers: [{ name: 'spark-kubernetes-driver', image: 'spark' }],
      },
    },
  });
}

async function setReady(api: KubernetesApi, n: number, ready: boolean): Promise<void> {
  const startedAt = '2030-01-01T00:00:00Z';
  await api.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${namespaceOf(n)}/pods/driver-${n}/status`,
    contentType: MERGE_PATCH,
    body: {
      status: {
        phase: 'Running',
        podIP: addressOf(n),
        podIPs: [{ ip: addressOf(n) }],
        conditions: [
          {
            type: 'Ready',
            status: ready ? 'True' : 'False',
            lastTransitionTime: '2030-01-01T00:00:10Z',
          },
        ],
        containerStatuses: [
          {
            name: 'spark-kubernetes-driver',
            containerID: `containerd://${n}`,
            image: 'spark',
            imageID: '',
            ready,
            restartCount: 0,
            state: { running: { startedAt } },
          },
        ],
      },
    },
  });
}

function namespaceOf(n: number): string {
  return `sjns-team${n % namespaces}-dev`;
}

function addressOf(n: number): string {
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

async function each(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function ms(sinceMs: number): string {
  return (performance.now() - sinceMs).toFixed(0);
}

function seconds(sinceMs: number): string {
  return ((Date.now() - sinceMs) / 1000).toFixed(1);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
