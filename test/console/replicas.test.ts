import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { AdministrationService } from '#gen/spark_gateway/v1/administration_pb.js';
import {
  remoteDiff,
  RemoteOperations,
  addAdministrationService,
} from '../../src/console/replicas.js';
import type { CallLeader } from '../../src/lib/grpc/forward.js';
import { SharedFleet } from '../../src/console/shared-fleet.js';
import { Forwarder } from '../../src/lib/grpc/forward.js';
import { clientCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import type { Operations } from '../../src/model/administration.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import type { DiffPolicy } from '../../src/model/policy-diff.js';
import type { NodeStatus, SidecarStatus } from '../../src/model/reports.js';
import { createGrpcPort } from '../../src/lib/grpc/port.js';
import { TestAuthority } from '../support/certificates.js';
import { alice, START_MS } from '../support/driver-records.js';
import { ManualClock } from '../support/manual-clock.js';
import { unusedPort } from '../support/unused-port.js';
import { unusedAddress } from '../support/loopback.js';

const NAME = 'spark-gateway-control-plane';
const logger = pino({ enabled: false });

const diffPolicy: DiffPolicy = async (text) => ({ problems: [`candidate:1: ${text}`] });

const answers: Operations = {
  drain: async (uid, drainDeadlineMs, by) => {
    if (by.subject !== 'alice') throw new GatewayError('INTERNAL', 'It is not who asked.');
    return { uid, phase: 'draining', sessions: 3, drainDeadlineMs };
  },
  undrain: async (uid) => ({ uid, phase: 'in_use', sessions: 3, drainDeadlineMs: undefined }),
  evict: () => Promise.reject(new GatewayError('DRIVER_UNKNOWN', 'There is no such driver.')),
  release: async (sessionId) => ({
    sessionId,
    driverUid: 'driver-1',
    end: 'released',
    endedAtMs: START_MS,
  }),
};

const nothingShared: Pick<SharedFleet, 'take'> = {
  take: () => ({ replicas: [], sidecars: [] }),
};

/** The leader's port with certificates as they are in a deployment, or without. */
async function startLeader(
  t: ExecutionContext,
  { tls = true, serves = true, shared = nothingShared } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'replicas-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const certificate = (name: string) =>
    authority.writeFiles(folder, name, { commonName: name, dnsNames: [name] });
  const replica = certificate(NAME);
  const sidecar = certificate('spark-gateway-envoy');
  const address = { host: await unusedAddress(), port: await unusedPort() };
  const port = createGrpcPort({
    name: 'assignments.listen_addr',
    address,
    tls: tls ? replica : undefined,
    allowedSans: ['spark-gateway-envoy'],
    clock: systemClock,
    logger,
    services: [AdministrationService],
    replicaServices: [AdministrationService],
  });
  if (serves) {
    port.serve((server) =>
      addAdministrationService(server, { operations: answers, diffPolicy, shared, logger }),
    );
  }
  await port.listen();
  t.teardown(() => port.close());
  const as = (files: TlsFiles | undefined) => {
    const forwarder = new Forwarder({
      credentials: clientCredentials(files),
      serverName: NAME,
      unavailable: () => new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Nobody leads.'),
    });
    forwarder.setTarget(`${address.host}:${address.port}`);
    t.teardown(() => forwarder.close());
    const call: CallLeader = (method, message) => forwarder.call(method, message, 10_000);
    return Object.assign(new RemoteOperations(call), { diff: remoteDiff(call), call });
  };
  return { as, replica, sidecar };
}

test('a replica asks the leader on behalf of an operator', async (t) => {
  const { as, replica } = await startLeader(t);
  const operations = as(replica);
  const deadlineMs = START_MS + 60_000;
  t.deepEqual(await operations.drain('driver-1', deadlineMs, alice), {
    uid: 'driver-1',
    phase: 'draining',
    sessions: 3,
    drainDeadlineMs: deadlineMs,
  });
  t.like(await operations.drain('driver-1', undefined, alice), { drainDeadlineMs: undefined });
  t.like(await operations.undrain('driver-1', alice), { uid: 'driver-1', phase: 'in_use' });
  t.deepEqual(await operations.release('session-1', alice), {
    sessionId: 'session-1',
    driverUid: 'driver-1',
    end: 'released',
    endedAtMs: START_MS,
  });
  await t.throwsAsync(operations.evict('driver-2', alice), {
    code: 'DRIVER_UNKNOWN',
    message: 'There is no such driver.',
  });
});

test('a replica asks the leader what a policy would change', async (t) => {
  const { as, replica, sidecar } = await startLeader(t);
  t.deepEqual(await as(replica).diff('kind: X', new AbortController().signal), {
    problems: ['candidate:1: kind: X'],
  });
  await t.throwsAsync(as(sidecar).diff('kind: X', new AbortController().signal), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
  });
});

test("a sidecar's certificate, good for assignments, is refused: it could name any operator", async (t) => {
  const { as, sidecar } = await startLeader(t);
  const error = await t.throwsAsync(as(sidecar).drain('driver-1', undefined, alice));
  t.regex(String((error?.cause as Error | undefined)?.message), /PERMISSION_DENIED/);
});

test('without certificates nobody may ask, not even on the same machine', async (t) => {
  const { as } = await startLeader(t, { tls: false });
  const error = await t.throwsAsync(as(undefined).drain('driver-1', undefined, alice));
  t.regex(String((error?.cause as Error | undefined)?.message), /PERMISSION_DENIED/);
});

test('a replica that leads no more does not answer: the operator is told to try again', async (t) => {
  const { as, replica } = await startLeader(t, { serves: false });
  await t.throwsAsync(as(replica).release('session-1', alice), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
  });
});

function envoy(id: string): NodeStatus {
  return {
    id,
    cluster: 'front',
    view: 'front',
    remoteAddress: '10.1.1.1:4711',
    protocol: 'delta',
    aggregated: true,
    connectedAtMs: START_MS,
    types: [],
  };
}

const identity = (name: string) => `${name}_6a1f0d52-58a5-4a1e-9a7e-1c2f3a4b5c6d@10.0.0.1:9092`;
const sidecar: SidecarStatus = {
  sidecarId: 's1',
  name: 'envoy-a',
  connected: true,
  lastSeenMs: START_MS,
  policy: undefined,
  leaseEndsMs: START_MS,
  pendingNotices: 0,
};

/** A leader with two followers, each with an Envoy of its own, over real certificates. */
async function startReplicas(t: ExecutionContext, { tls = true } = {}) {
  const clock = new ManualClock();
  const leader = new SharedFleet({
    replica: identity('replica-a'),
    envoys: () => [envoy('envoy-a')],
    sidecars: () => [sidecar],
    toLeader: () => Promise.reject(new Error('it leads itself')),
    clock,
  });
  const { as, replica } = await startLeader(t, { shared: leader });
  const shared = ['b', 'c'].map((name) => {
    const { call } = as(tls ? replica : undefined);
    const waiting: (() => void)[] = [];
    const follower = new SharedFleet({
      replica: identity(`replica-${name}`),
      envoys: () => [envoy(`envoy-${name}`)],
      sidecars: () => undefined,
      toLeader: (method, message) =>
        call(method, message).finally(() => setImmediate(() => waiting.shift()?.())),
      clock,
    });
    t.teardown(() => follower.close());
    const once = () => new Promise<void>((resolve) => void waiting.push(resolve));
    return { follower, once };
  });
  return { clock, leader, shared };
}

const seenBy = (fleet: SharedFleet) =>
  fleet
    .envoys()
    .map(({ id, replica }) => `${id} at ${replica}`)
    .toSorted();

test('each replica knows the Envoys of all, and who is silent is forgotten', async (t) => {
  const { clock, leader, shared } = await startReplicas(t);
  for (const { follower, once } of shared) {
    const told = once();
    follower.start();
    await told;
  }
  const again = Promise.all(shared.map(({ once }) => once()));
  t.is(leader.unknown(), 'this replica has led for a moment only');
  await clock.advance(2_000);
  await again;
  const all = ['envoy-a at replica-a', 'envoy-b at replica-b', 'envoy-c at replica-c'];
  for (const fleet of [leader, ...shared.map(({ follower }) => follower)]) {
    t.deepEqual(seenBy(fleet), all);
    t.deepEqual(
      fleet.sidecars().map(({ name }) => name),
      ['envoy-a'],
    );
  }
  t.is(shared[0]?.follower.unknown(), undefined);
  shared[1]?.follower.close();
  const last = shared[0]?.once();
  await clock.advance(10_000);
  await last;
  t.deepEqual(seenBy(leader), ['envoy-a at replica-a', 'envoy-b at replica-b']);
  t.is(leader.unknown(), undefined);
});

test('a replica that the leader does not hear says that it knows its own Envoys only', async (t) => {
  const { shared } = await startReplicas(t, { tls: false });
  const [one] = shared;
  if (!one) throw new Error('there is none');
  const told = one.once();
  one.follower.start();
  await told;
  t.deepEqual(seenBy(one.follower), ['envoy-b at replica-b']);
  t.not(one.follower.unknown(), undefined);
});

test('the only replica knows all Envoys by itself', (t) => {
  const alone = new SharedFleet({
    replica: undefined,
    envoys: () => [envoy('envoy-a')],
    sidecars: () => undefined,
    toLeader: () => Promise.reject(new Error('there is none')),
    clock: new ManualClock(),
  });
  alone.start();
  t.is(alone.unknown(), undefined);
  t.deepEqual(alone.envoys(), [envoy('envoy-a')]);
});
