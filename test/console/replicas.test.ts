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
import { issuerProblems } from '../../src/console/issuer-problems.js';
import {
  type LeaderFacts,
  SharedFleet,
  type SharedFleetOptions,
} from '../../src/console/shared-fleet.js';
import { EndedSessions } from '../../src/sign-in/ended-sessions.js';
import { Forwarder } from '../../src/lib/grpc/forward.js';
import { clientCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import type { Operations } from '../../src/model/administration.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import type { DiffPolicy } from '../../src/model/policy-diff.js';
import { type KnownProblem, namespaceReference } from '../../src/model/fleet-problem.js';
import type {
  FleetReport,
  IssuerProblem,
  NodeStatus,
  PoolReport,
  SidecarStatus,
} from '../../src/model/reports.js';
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
  take: () => ({ replicas: [], sidecars: [], activity: [], pools: [], ended: [] }),
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
  policy: {
    version: 'v1',
    problem: undefined,
    shadow: undefined,
    issuers: [{ issuer: 'https://a.example', problem: 'status 503.', keysKnown: false }],
  },
  leaseEndsMs: START_MS,
  pendingNotices: 0,
};

const pool: PoolReport = {
  namespace: 'sjns-ads-dev',
  variant: undefined,
  drivers: 4,
  maximum: 4,
  warming: 0,
  failure: 'no quota',
  retryInMs: 5_000,
  size: 0,
  waiting: 3,
  available: 0,
  inUse: 4,
  draining: 0,
  sessions: 4,
};

const leads: LeaderFacts = {
  sidecars: () => [sidecar],
  activity: () => [['session-1', START_MS, 2]],
  pools: () => [pool],
};

const ofFollower: FleetReport = {
  drivers: [],
  pools: [{ ...pool, waiting: 0, failure: undefined, retryInMs: undefined }],
  lastReadMs: START_MS,
  readError: undefined,
  writeError: undefined,
};

function failing(message: string): KnownProblem {
  return {
    kind: 'pool_failing',
    object: namespaceReference('sjns-ads-dev'),
    message,
    sinceMs: START_MS,
  };
}

interface Replica {
  readonly fleet: SharedFleet;
  readonly ended: EndedSessions;
  /** What it finds wrong. */
  readonly problems: KnownProblem[];
  readonly issuers: IssuerProblem[];
  /** Resolves when it has told the leader the next time. */
  readonly once: () => Promise<void>;
}

/** A leader with two followers, each with an Envoy of its own, over real certificates. */
async function startReplicas(t: ExecutionContext, { tls = true } = {}) {
  const clock = new ManualClock();
  const make = (name: string, parts: Pick<SharedFleetOptions, 'leader' | 'toLeader'>) => {
    const told = { ended: new EndedSessions(clock), problems: [], issuers: [] };
    const waiting: (() => void)[] = [];
    const fleet = new SharedFleet({
      replica: identity(`replica-${name}`),
      envoys: () => [envoy(`envoy-${name}`)],
      problems: () => told.problems,
      issuers: () => told.issuers,
      leader: parts.leader,
      ended: told.ended,
      toLeader: (method, message) =>
        parts.toLeader(method, message).finally(() => setImmediate(() => waiting.shift()?.())),
      clock,
    });
    t.teardown(() => fleet.close());
    const once = () => new Promise<void>((resolve) => void waiting.push(resolve));
    return { ...told, fleet, once } satisfies Replica;
  };
  const leader: Replica = make('a', {
    leader: () => leads,
    toLeader: () => Promise.reject(new Error('it leads itself')),
  });
  const { as, replica } = await startLeader(t, { shared: leader.fleet });
  const follower = (name: string): Replica =>
    make(name, { leader: () => undefined, toLeader: as(tls ? replica : undefined).call });
  const followers = [follower('b'), follower('c')] as const;
  /** All have told each other what they know now. */
  const settled = async () => {
    for (let round = 0; round < 2; round += 1) {
      const told = Promise.all(followers.map(({ once }) => once()));
      await clock.advance(2_000);
      await told;
    }
  };
  const start = async () => {
    for (const { fleet, once } of followers) {
      const told = once();
      fleet.start();
      await told;
    }
    await settled();
  };
  return { clock, leader, followers, start, settled };
}

const seenBy = (fleet: SharedFleet) =>
  fleet
    .envoys()
    .map(({ id, replica }) => `${id} at ${replica}`)
    .toSorted();

test('each replica knows the Envoys of all, and who is silent is forgotten', async (t) => {
  const { clock, leader, followers, start } = await startReplicas(t);
  t.is(leader.fleet.unknown(), 'this replica has led for a moment only');
  await start();
  const all = ['envoy-a at replica-a', 'envoy-b at replica-b', 'envoy-c at replica-c'];
  for (const { fleet } of [leader, ...followers]) {
    t.deepEqual(seenBy(fleet), all);
    t.deepEqual(
      fleet.sidecars().map(({ name }) => name),
      ['envoy-a'],
    );
  }
  t.is(followers[0].fleet.unknown(), undefined);
  followers[1].fleet.close();
  const last = followers[0].once();
  await clock.advance(10_000);
  await last;
  t.deepEqual(seenBy(leader.fleet), ['envoy-a at replica-a', 'envoy-b at replica-b']);
  t.is(leader.fleet.unknown(), undefined);
});

test('each replica knows what the leader alone is told: who waits, why, what runs', async (t) => {
  const { leader, followers, start, clock } = await startReplicas(t);
  const [{ fleet }] = followers;
  t.false(fleet.hearsLeader);
  t.deepEqual(fleet.fleet(ofFollower), ofFollower);
  t.is(fleet.activity('session-1'), undefined);
  await start();
  t.true(fleet.hearsLeader);
  t.like(fleet.fleet(ofFollower).pools[0], { waiting: 3, failure: 'no quota' });
  t.deepEqual(fleet.activity('session-1'), { lastActiveMs: START_MS, openStreams: 2 });
  t.is(fleet.activity('session-2'), undefined);
  t.is(leader.fleet.fleet(ofFollower), ofFollower, 'a leader goes by what it knows itself');
  fleet.close();
  await clock.advance(10_000);
  t.false(fleet.hearsLeader, 'what was told last is no answer for long');
  t.is(fleet.activity('session-1'), undefined);
  t.deepEqual(fleet.fleet(ofFollower), ofFollower);
});

test('what one replica finds wrong all tell, once, with who says so', async (t) => {
  const { leader, followers, start } = await startReplicas(t);
  const unreadable: KnownProblem = {
    kind: 'unreadable',
    message: 'Discovery cannot be read',
    sinceMs: START_MS - 1_000,
  };
  leader.problems.push(failing('no quota'));
  followers[0].problems.push(unreadable);
  followers[1].problems.push({ ...unreadable, sinceMs: START_MS });
  await start();
  for (const { fleet } of [leader, ...followers]) {
    t.like(fleet.problems(), [
      { kind: 'unreadable', sinceMs: START_MS - 1_000 },
      { kind: 'pool_failing', reportedBy: ['replica-a'] },
    ]);
    t.deepEqual(fleet.problems()[0]?.reportedBy?.toSorted(), ['replica-b', 'replica-c']);
  }
  followers[1].problems.length = 0;
  followers[0].problems.length = 0;
  t.is(followers[0].fleet.problems().length, 2, 'the other said so a moment ago');
});

test('an issuer whose keys cannot be had is one problem, with all who say so', async (t) => {
  const { leader, followers, start } = await startReplicas(t);
  const issuer = 'https://a.example';
  leader.issuers.push({ issuer, problem: 'status 503.', keysKnown: true });
  followers[0].issuers.push({ issuer, problem: 'status 503.', keysKnown: true });
  followers[1].issuers.push({ issuer, problem: 'no route to it.', keysKnown: false });
  await start();
  for (const { fleet } of [leader, ...followers]) {
    const told = fleet.issuers().toSorted((a, b) => (a.by < b.by ? -1 : 1));
    t.deepEqual(issuerProblems(told), [
      {
        kind: 'issuer_unreachable',
        issuer,
        message: `The keys of the token issuer ${issuer} cannot be fetched by authz envoy-a, so its tokens are UNAVAILABLE: status 503. And by control plane replica-a, control plane replica-b, so those from before are in use: status 503. And by control plane replica-c, so its tokens are UNAVAILABLE: no route to it.`,
      },
    ]);
  }
});

test('who leaves the console at one replica has left it at all, also for a replica that comes later', async (t) => {
  const { leader, followers, start, settled, clock } = await startReplicas(t);
  await start();
  const told = followers[0].once();
  followers[0].ended.end('secret', clock.now() + 3_600_000);
  await told;
  t.true(leader.ended.has('secret'), 'the leader is told at once');
  await settled();
  t.true(followers[1].ended.has('secret'));
  t.notRegex(JSON.stringify(leader.ended.list()), /secret/);
  leader.ended.end('of the leader', clock.now() + 3_600_000);
  await settled();
  t.true(followers[1].ended.has('of the leader'));
  await clock.advance(3_600_000);
  t.deepEqual(leader.ended.list(), []);
});

test('a replica that the leader does not hear says that it knows its own Envoys only', async (t) => {
  const { followers } = await startReplicas(t, { tls: false });
  const [{ fleet, once }] = followers;
  const told = once();
  fleet.start();
  await told;
  t.deepEqual(seenBy(fleet), ['envoy-b at replica-b']);
  t.not(fleet.unknown(), undefined);
  t.false(fleet.hearsLeader);
});

test('the only replica knows everything by itself', (t) => {
  const clock = new ManualClock();
  const issuers = [{ issuer: 'https://a.example', problem: 'gone', keysKnown: true }];
  const alone = new SharedFleet({
    replica: undefined,
    envoys: () => [envoy('envoy-a')],
    problems: () => [failing('no quota')],
    issuers: () => issuers,
    leader: () => leads,
    ended: new EndedSessions(clock),
    toLeader: () => Promise.reject(new Error('there is none')),
    clock,
  });
  alone.start();
  t.is(alone.unknown(), undefined);
  t.deepEqual(alone.envoys(), [envoy('envoy-a')]);
  t.deepEqual(alone.problems(), [failing('no quota')]);
  t.is(alone.issuers()[0]?.by, 'the control plane');
});
