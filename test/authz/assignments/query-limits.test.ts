/** A sidecar that asks for the turn of its queries: of the leader, and by way of a replica that does not lead. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { credentials, Server } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import pino from 'pino';
import { AssignmentService } from '#gen/spark_gateway/v1/assignments_pb.js';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { Forwarder } from '../../../src/lib/grpc/forward.js';
import { GatewayError } from '../../../src/model/errors.js';
import { addAssignmentService } from '../../../src/sessions/assignment-service.js';
import { SidecarNotices } from '../../../src/sessions/notices.js';
import { QueryGate } from '../../../src/queries/query-gate.js';
import { SeenRequestTable } from '../../../src/sessions/sidecar-status.js';
import { listen } from '../../support/assignment-client.js';
import { assignmentWatch } from '../../support/assignment-watch.js';
import { type ManualClock, settle } from '../../support/manual-clock.js';
import { plainPolicy } from '../../support/plain-policy.js';
import { limitPolicy } from '../../support/queries.js';
import { RecordingSink } from '../../support/recording-sink.js';
import { sessionFixture } from '../../support/session-fixture.js';
import { unusedAddress } from '../../support/loopback.js';

interface World {
  readonly clock: ManualClock;
  readonly gate: QueryGate;
  readonly leader: Server;
  /** Of the leader, and of the replica that does not lead. */
  readonly addresses: readonly string[];
  readonly forwarder: Forwarder;
  readonly clientOf: (...addresses: readonly string[]) => AssignmentsClient;
}

const logger = pino({ level: 'silent' });
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
        logger,
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
