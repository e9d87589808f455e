/**
 * Discovery of many pods from a real API server: how long until all are known, what it keeps in
 * memory, how soon a pod that becomes ready is seen, and what it asks the API server at rest. Then
 * the same of two control planes, from a pod's status to what an Envoy is sent.
 * Then what a driver's whole life costs the API server, and the departure of many drivers at once.
 * Usage: npm run bench:kube -- [--pods 5000] [--namespaces 1000] [--changes 200] [--rest-seconds 60]
 *   [--lives 20] [--leaving 500]
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { KubernetesDrivers } from '../../src/discovery/kubernetes/kubernetes-drivers.js';
import { DriverResources } from '../../src/discovery/kubernetes/driver-resources.js';
import { GatewayKey } from '../../src/lib/kubernetes/ownership.js';
import { systemClock } from '../../src/model/clock.js';
import { KubeApiServer } from '../../test/support/kube-api-server.js';
import { manifests, operatorCrds, SPARK_DRIVER_CRD } from '../../test/support/kube-manifests.js';
import { each, makePod, namespaceOf, podOf, setReady } from './pods.js';
import { percentiles } from './percentiles.js';
import { measureLives } from './leaving.js';
import { measureRoutable } from './routable.js';

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '5000' },
    namespaces: { type: 'string', default: '1000' },
    changes: { type: 'string', default: '200' },
    'rest-seconds': { type: 'string', default: '60' },
    lives: { type: 'string', default: '20' },
    leaving: { type: 'string', default: '500' },
  },
});
const pods = Number(values.pods);
const namespaces = Number(values.namespaces);
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const server = await KubeApiServer.start();
try {
  for (const crd of [...manifests(SPARK_DRIVER_CRD), ...operatorCrds()]) await server.apply(crd);
  await measureLives(server, {
    lives: Number(values.lives),
    restSeconds: Number(values['rest-seconds']),
  });
  const admin = server.admin();
  const startedMs = Date.now();
  await each(namespaces, (n) => server.createNamespace(namespaceOf(n, namespaces)));
  await each(pods, async (n) => {
    await makePod(admin, podOf(n, namespaces));
    await setReady(admin, podOf(n, namespaces), true);
  });
  console.log(`made ${pods} pods in ${namespaces} namespaces: ${seconds(startedMs)} s`);
  await measureDiscovery();
  await measureRoutable(server, {
    pods,
    namespaces,
    changes: Number(values.changes),
    restSeconds: Number(values['rest-seconds']),
    leaving: Number(values.leaving),
  });
} finally {
  await server.stop();
}

async function measureDiscovery(): Promise<void> {
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
    record: () => undefined,
    gateway: 'bench',
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
    const pod = podOf(index, namespaces);
    await setReady(writer, pod, false);
    await seen(drivers, pod.address, false);
    const fromMs = performance.now();
    await Promise.all([setReady(writer, pod, true), seen(drivers, pod.address, true)]);
    latencies.push(performance.now() - fromMs);
  }
  console.log(`status written to driver ready: ${percentiles(latencies)}`);

  requests = 0;
  const restSeconds = Number(values['rest-seconds']);
  await pause(restSeconds * 1000);
  console.log(`at rest: ${((requests * 60) / restSeconds).toFixed(1)} requests a minute`);
  await drivers.stop();
  await resources.stop();
}

/** Looks at every change, as the pool controller does. */
async function seen(drivers: KubernetesDrivers, address: string, ready: boolean): Promise<void> {
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

function ms(sinceMs: number): string {
  return (performance.now() - sinceMs).toFixed(0);
}

function seconds(sinceMs: number): string {
  return ((Date.now() - sinceMs) / 1000).toFixed(1);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
