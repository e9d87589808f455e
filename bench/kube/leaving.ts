/** A driver's whole life, up to its end and the end of its record: what it costs the API server, and what rest costs. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { AssignmentsClient } from '../../src/authz/assignments/assignments-client.js';
import { systemClock } from '../../src/model/clock.js';
import { ControlPlane } from '../../test/kube/control-plane.js';
import { listeners, LoopbackAddresses } from '../../test/kube/stand-in/runtime.js';
import { requestOf } from '../../test/kube/load.js';
import { startStandIns } from '../../test/kube/world.js';
import { AssignmentClient } from '../../test/support/assignment-client.js';
import type { KubeApiServer } from '../../test/support/kube-api-server.js';
import { requestsOf, type Requests } from './requests.js';
import { unusedAddress } from '../../test/support/loopback.js';

const GATEWAY_NAMESPACE = 'spark-gateway-life';
const DRIVERS = 'sjns-life-dev';
/** As long as Kubernetes gives a pod, unless it is told otherwise. */
const GRACE_MS = 30_000;

export async function measureLives(
  server: KubeApiServer,
  { lives, restSeconds }: { readonly lives: number; readonly restSeconds: number },
): Promise<void> {
  for (const namespace of [GATEWAY_NAMESPACE, DRIVERS]) await server.createNamespace(namespace);
  const standIns = await startStandIns(server, listeners(await LoopbackAddresses.reserve()));
  standIns.kubelet.endsAfterMs = GRACE_MS;
  const controlPlane = await ControlPlane.start({
    server,
    host: await unusedAddress(),
    namespace: GATEWAY_NAMESPACE,
    drivers: DRIVERS,
    pool: { size: 0, maximum: lives },
    leaseMs: 15_000,
    files: {
      policy: { warm_namespaces: [] },
      settings: { session_ttl: '1m', sessions: { tombstone_ttl: '10m' } },
    },
  });
  const sidecar = new AssignmentsClient({
    addresses: [controlPlane.assignments],
    credentials: credentials.createInsecure(),
    clock: systemClock,
    logger: pino({ level: 'silent' }),
  });
  sidecar.start();
  const client = new AssignmentClient(controlPlane.assignments);
  try {
    const before = await requestsOf(controlPlane);
    const ids = Array.from({ length: lives }, () => randomUUID());
    await Promise.all(
      ids.map((id) =>
        client.assign({ ...requestOf(id, DRIVERS), holdMs: 120_000 }, { deadlineMs: 180_000 }),
      ),
    );
    const inUse = await requestsOf(controlPlane);
    sidecar.activity(ids.map((sessionId) => ({ sessionId, atMs: Date.now(), released: true })));
    await controlPlane.until('to have ended all drivers', async () =>
      (await controlPlane.drivers()).every(({ phase }) => phase === 'gone'),
    );
    const after = await requestsOf(controlPlane);
    const perLife = (from: Requests, to: Requests) =>
      ((to.others - from.others) / lives).toFixed(1);
    console.log(
      `requests for a driver's life, of ${lives}: ${perLife(before, inUse)} to its first session, ${perLife(inUse, after)} from its release to its end, ${GRACE_MS / 1000} s of grace`,
    );
    await pause(5_000);
    const resting = await requestsOf(controlPlane);
    await pause(restSeconds * 1000);
    const rested = await requestsOf(controlPlane);
    const minutes = restSeconds / 60;
    console.log(
      `at rest, with the records of ${lives} drivers that are gone: ${((rested.others - resting.others) / minutes).toFixed(1)} requests a minute beside ${((rested.lease - resting.lease) / minutes).toFixed(1)} of the lease`,
    );
  } finally {
    client.close();
    await sidecar.close(0);
    await controlPlane.stop();
    await standIns.stop();
  }
}
