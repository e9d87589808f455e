import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { AdministrationService } from '#gen/spark_gateway/v1/administration_pb.js';
import {
  type CallLeader,
  remoteDiff,
  RemoteOperations,
  addAdministrationService,
} from '../../src/console/replicas.js';
import { Forwarder } from '../../src/lib/grpc/forward.js';
import { clientCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import type { Operations } from '../../src/model/administration.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import type { DiffPolicy } from '../../src/model/policy-diff.js';
import { createGrpcPort } from '../../src/lib/grpc/port.js';
import { TestAuthority } from '../support/certificates.js';
import { alice, START_MS } from '../support/driver-records.js';
import { unusedPort } from '../support/unused-port.js';

const NAME = 'spark-gateway-control-plane';
const logger = pino({ enabled: false });

const diffPolicy: DiffPolicy = async (text) => ({ problems: [`candidate:1: ${text}`] });

const answers: Operations = {
  drain: async (uid, drainDeadlineMs, by) => {
    if (by.subject !== 'alice') throw new GatewayError('INTERNAL', 'It is not who asked.');
    return { uid, phase: 'draining', sessions: 3, drainDeadlineMs };
  },
  evict: () => Promise.reject(new GatewayError('DRIVER_UNKNOWN', 'There is no such driver.')),
  release: async (sessionId) => ({
    sessionId,
    driverUid: 'driver-1',
    end: 'released',
    endedAtMs: START_MS,
  }),
};

/** The leader's port with certificates as they are in a deployment, or without. */
async function startLeader(t: ExecutionContext, { tls = true, serves = true } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'replicas-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const certificate = (name: string) =>
    authority.writeFiles(folder, name, { commonName: name, dnsNames: [name] });
  const replica = certificate(NAME);
  const sidecar = certificate('spark-gateway-envoy');
  const address = { host: '127.1.43.1', port: await unusedPort() };
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
      addAdministrationService(server, { operations: answers, diffPolicy, logger }),
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
    return Object.assign(new RemoteOperations(call), { diff: remoteDiff(call) });
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
