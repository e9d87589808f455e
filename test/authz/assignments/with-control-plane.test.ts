import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { AssignmentService } from '#gen/spark_gateway/v1/assignments_pb.js';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import pino from 'pino';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { Forwarder } from '../../../src/lib/grpc/forward.js';
import { unlimitedQueries } from '../../../src/model/assignment.js';
import { asGone } from '../../../src/model/driver-record.js';
import { GatewayError } from '../../../src/model/errors.js';
import { notLeading } from '../../../src/model/refusals.js';
import type { SidecarPolicy } from '../../../src/model/reports.js';
import { QueryGate } from '../../../src/queries/query-gate.js';
import { addAssignmentService } from '../../../src/sessions/assignment-service.js';
import { SidecarNotices } from '../../../src/sessions/notices.js';
import { SeenRequestTable } from '../../../src/sessions/sidecar-status.js';
import { listen } from '../../support/assignment-client.js';
import { assignmentWatch } from '../../support/assignment-watch.js';
import { alice, bob, driverRecord, sessionId, START_MS } from '../../support/driver-records.js';
import { unusedAddress } from '../../support/loopback.js';
import { type ManualClock, settle } from '../../support/manual-clock.js';
import { plainPolicy } from '../../support/plain-policy.js';
import { limitPolicy } from '../../support/queries.js';
import { RecordingSink } from '../../support/recording-sink.js';
import { assignRequest, sessionFixture } from '../../support/session-fixture.js';
import { Signal } from '../../support/signal.js';
import { WatchedClock } from '../../support/watched-clock.js';

// Assignments.

const request = assignRequest(sessionId(1));
const signal = new AbortController().signal;

/** A control plane that leads, and where it listens. */
async function startLeader(t: ExecutionContext) {
  const world = await sessionFixture([driverRecord('d1')]);
  const { ledger, clock, leadership, logger, assigner } = world;
  const notices = new SidecarNotices({ ledger, clock, cacheTtlMs: 600_000 });
  const reports = new Signal<readonly string[]>();
  const server = new Server();
  t.teardown(() => server.forceShutdown());
  addAssignmentService(server, {
    assigner,
    notices,
    activity: {
      activity: (events) => reports.emit(events.map((event) => event.sessionId)),
      streamOpened: () => undefined,
      connectionUsed: () => undefined,
      connectionEnded: () => undefined,
      connectionsMissed: () => undefined,
      streamClosed: () => undefined,
      released: () => undefined,
      reporterConnected: () => undefined,
      reporterDisconnected: () => undefined,
    },
    seen: { seen: () => undefined },
    queries: unlimitedQueries,
    leadership,
    watch: assignmentWatch(clock).watch,
    clock,
    logger,
  });
  return { ...world, notices, reports, address: await listen(server, '127.0.0.1') };
}

/** A replica that follows: what it is asked goes to the leader. */
async function startFollower(t: ExecutionContext, leader: string): Promise<string> {
  const forwarder = new Forwarder({
    credentials: credentials.createInsecure(),
    unavailable: notLeading,
  });
  const server = new Server();
  t.teardown(() => {
    forwarder.close();
    server.forceShutdown();
  });
  forwarder.addServices(server, [AssignmentService]);
  forwarder.setTarget(leader);
  return listen(server, '127.0.0.1');
}

test('sidecar and control plane agree on who has a driver, and on when it is forgotten', async (t) => {
  const { address, clock, ledger, logger, notices, reports } = await startLeader(t);
  let hits = 0;
  const client = new AssignmentsClient({
    addresses: [address],
    credentials: credentials.createInsecure(),
    clock,
    logger,
    onCache: (result) => {
      if (result === 'hit') hits++;
    },
  });
  const answeredReset = new Promise<void>((resolve) => {
    notices.onChange(() => {
      if (notices.sidecars().every(({ pendingNotices }) => pendingNotices === 0)) resolve();
    });
  });
  client.start();
  await answeredReset;

  const first = await client.assign(request, signal);
  t.is(first.driverUid, 'd1');
  t.is(await client.assign(request, signal), first);
  t.is(hits, 1);
  const stolen = await t.throwsAsync(client.assign({ ...request, principal: bob }, signal), {
    instanceOf: GatewayError,
  });
  t.is(stolen.code, 'SESSION_OF_ANOTHER');

  t.false(notices.haveForgotten('d1'));
  const forgotten = new Promise<void>((resolve) => {
    notices.onChange(() => {
      if (notices.haveForgotten('d1')) resolve();
    });
  });
  await ledger.update('d1', (record) => asGone(record, clock.now(), 'killed'));
  await forgotten;
  const ended = await t.throwsAsync(client.assign(request, signal), { instanceOf: GatewayError });
  t.is(ended.code, 'SESSION_ENDED');
  t.is(hits, 1);

  client.activity([{ sessionId: sessionId(7), atMs: clock.now(), released: false }]);
  const closed = client.close();
  while (!(await reports.next()).includes(sessionId(7)));
  await closed;
});

test('an interrupt reaches the sidecars of every replica, by way of whichever it is asked', async (t) => {
  const { address: leader, clock, logger, notices } = await startLeader(t);
  const follower = await startFollower(t, leader);
  const heard: string[] = [];
  const sidecars = [leader, follower].map((address, index) => {
    const client = new AssignmentsClient({
      addresses: [address],
      credentials: credentials.createInsecure(),
      clock,
      logger,
    });
    t.teardown(() => client.close(0));
    client.onInterrupt(({ sessionId: id, principal, operationId }) =>
      heard.push(`${index} ${id} ${principal.subject} ${operationId}`),
    );
    client.start();
    return client;
  });
  const both = () => {
    const all = notices.sidecars();
    return all.length === 2 && all.every(({ pendingNotices }) => pendingNotices === 0);
  };
  await new Promise<void>((resolve) => notices.onChange(() => both() && resolve()));
  for (const [index, asked] of sidecars.entries()) {
    const operationId = `operation-${index}`;
    // Without time going by: no sidecar is given up.
    await asked.interrupt({ sessionId: sessionId(index), principal: alice, operationId });
    t.deepEqual(
      heard.splice(0).toSorted(),
      [0, 1].map((hearer) => `${hearer} ${sessionId(index)} alice ${operationId}`),
    );
  }
});

// A sidecar that asks for the turn of its queries: of the leader, and by way of a replica that does not lead.

interface World {
  readonly clock: ManualClock;
  readonly gate: QueryGate;
  readonly leader: Server;
  /** Of the leader, and of the replica that does not lead. */
  readonly addresses: readonly string[];
  readonly forwarder: Forwarder;
  readonly clientOf: (...addresses: readonly string[]) => AssignmentsClient;
}

const quiet = pino({ level: 'silent' });
const never = new AbortController().signal;

function queryOf(requestId: string) {
  return {
    requestId,
    sessionId: 'session-1',
    principal: { issuer: 'https://idp.test', subject: 'alice' },
    team: 'data',
    namespace: 'sjns-data-prod',
  };
}

async function setUp(t: ExecutionContext): Promise<World> {
  const world = await sessionFixture([]);
  const { ledger, clock } = world;
  const policy = plainPolicy({ issuers: [], limits: () => limitPolicy({ queriesPerSession: 1 }) });
  const gate = new QueryGate({ policy: () => policy, clock, intervalMs: 30_000 });
  const leader = new Server();
  addAssignmentService(leader, {
    ...world,
    notices: new SidecarNotices({ ledger, clock, cacheTtlMs: 600_000 }),
    activity: new RecordingSink(),
    seen: new SeenRequestTable(),
    queries: gate,
    watch: assignmentWatch(clock).watch,
  });
  const leading = await listen(leader, await unusedAddress());
  const forwarder = new Forwarder({
    credentials: credentials.createInsecure(),
    unavailable: () => new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'nobody leads'),
  });
  forwarder.setTarget(leading);
  const follower = new Server();
  forwarder.addServices(follower, [AssignmentService]);
  const clients: AssignmentsClient[] = [];
  t.teardown(async () => {
    await Promise.all(clients.map((client) => client.close(0)));
    forwarder.close();
    leader.forceShutdown();
    follower.forceShutdown();
  });
  return {
    clock,
    gate,
    leader,
    forwarder,
    addresses: [leading, await listen(follower, await unusedAddress())],
    clientOf(...addresses) {
      const client = new AssignmentsClient({
        addresses,
        credentials: credentials.createInsecure(),
        clock,
        logger: quiet,
      });
      clients.push(client);
      return client;
    },
  };
}

async function waits({ gate }: World, count: number): Promise<void> {
  while ([...gate.counts().waiting.values()].reduce((a, b) => a + b, 0) !== count) await settle();
}

for (const [place, name] of ['the leader', 'a replica that does not lead'].entries()) {
  test(`asked of ${name}: a query waits for its turn, or leaves the line with its client`, async (t) => {
    const world = await setUp(t);
    const { gate, addresses, clientOf } = world;
    const client = clientOf(addresses[place] ?? '');
    await client.admit(queryOf('a'), 60_000, never);
    const gone = new AbortController();
    const left = client.admit(queryOf('b'), 60_000, gone.signal);
    await waits(world, 1);
    const next = client.admit(queryOf('c'), 60_000, never);
    await waits(world, 2);
    // What comes on the same connection later has come: so has the word that they wait there.
    await client.admit({ ...queryOf('elsewhere'), sessionId: 'session-2' }, 60_000, never);
    await world.clock.advance(2_000);
    await waits(world, 2);
    gone.abort(new Error('gone'));
    await t.throwsAsync(left, { message: 'gone' });
    await waits(world, 1);
    gate.ended('a', 0);
    await next;
    client.resumed(queryOf('r'));
    while (gate.counts().running.get('sjns-data-prod') !== 3) await settle();
    const late = t.throwsAsync(client.admit(queryOf('d'), 10, never), {
      instanceOf: GatewayError,
    });
    await waits(world, 1);
    await world.clock.advance(10);
    const refused = await late;
    t.is(refused.code, 'QUERY_LIMIT_EXCEEDED');
    t.is(refused.retryAfterMs, 2_000);
    t.regex(refused.message, /This session runs 1 query/);
  });
}

test('when nobody leads, or the leader goes while a query waits, the sidecar is told so', async (t) => {
  const world = await setUp(t);
  const { leader, forwarder, addresses, clientOf } = world;
  const client = clientOf(addresses[1] ?? '');
  await client.admit(queryOf('a'), 60_000, never);
  const waiting = client.admit(queryOf('b'), 60_000, never);
  await waits(world, 1);
  leader.forceShutdown();
  await t.throwsAsync(waiting, { code: 'CONTROL_PLANE_UNAVAILABLE' });
  forwarder.setTarget(undefined);
  await t.throwsAsync(client.admit(queryOf('c'), 60_000, never), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
  });
});

test('a control plane that takes a connection and says nothing holds no query up', async (t) => {
  const { clock, clientOf } = await setUp(t);
  const silent = createServer();
  const accepted = once(silent, 'connection');
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => void silent.close());
  const { port } = silent.address() as AddressInfo;
  const asked = clientOf(`127.0.0.1:${port}`).admit(queryOf('a'), 60_000, never);
  const refused = t.throwsAsync(asked, { code: 'CONTROL_PLANE_UNAVAILABLE' });
  const [socket] = (await accepted) as [Socket];
  await clock.advance(2_000);
  await refused;
  socket.destroy();
});

// The policy.

const nothing = () => undefined;
const refused = { source: 'policy', would: 'refuse', code: 'NAMESPACE_REFUSED' } as const;

test('a control plane knows by which policy a sidecar decides, and what it tries out', async (t) => {
  const clock = new WatchedClock(START_MS);
  const { ledger, leadership, logger, assigner } = await sessionFixture([], { clock });
  const notices = new SidecarNotices({ ledger, clock, cacheTtlMs: 600_000 });
  const told = new Signal<void>();
  const decidesBy = notices.decidesBy.bind(notices);
  notices.decidesBy = (...policyOf) => {
    const isKnown = decidesBy(...policyOf);
    told.emit();
    return isKnown;
  };
  const server = new Server();
  addAssignmentService(server, {
    assigner,
    notices,
    activity: {
      activity: nothing,
      streamOpened: nothing,
      connectionUsed: nothing,
      connectionEnded: nothing,
      connectionsMissed: nothing,
      streamClosed: nothing,
      released: nothing,
      reporterConnected: nothing,
      reporterDisconnected: nothing,
    },
    queries: unlimitedQueries,
    seen: { seen: nothing },
    leadership,
    watch: assignmentWatch(clock).watch,
    clock,
    logger,
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  let policy: SidecarPolicy = {
    version: 'v1',
    problem: undefined,
    shadow: undefined,
    issuers: [],
  };
  const client = new AssignmentsClient({
    addresses: [`127.0.0.1:${port}`],
    credentials: credentials.createInsecure(),
    name: 'envoy-7d9f',
    policy: () => policy,
    clock,
    logger,
  });
  t.teardown(async () => {
    await client.close(0);
    server.forceShutdown();
  });
  client.start();
  await told.next();
  const looked = clock.newTimer(5_000);
  t.like(notices.sidecars()[0], { name: 'envoy-7d9f', connected: true, policy });

  policy = {
    version: 'v2',
    problem: 'policy.yaml:3:1: a mistake\npolicy.yaml:4:1: another',
    issuers: [{ issuer: 'https://a.example', problem: 'status 503', keysKnown: true }],
    shadow: {
      version: 'c1',
      problem: undefined,
      counts: [
        { source: 'policy', would: 'same', code: 'OK', count: 41 },
        { ...refused, count: 3 },
      ],
      examples: [
        {
          ...refused,
          by: 'c1',
          principal: alice,
          method: 'ExecutePlan',
          message: 'alice may not',
          atMs: clock.now() + 2_000,
        },
      ],
    },
  };
  const again = told.next();
  await looked;
  await clock.advance(5_000);
  await again;
  const [known] = notices.sidecars();
  t.deepEqual(known?.policy, policy);
  t.is(known?.lastSeenMs, clock.now());
});
