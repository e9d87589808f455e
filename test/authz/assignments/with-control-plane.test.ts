import test, { type ExecutionContext } from 'ava';
import { credentials, Server } from '@grpc/grpc-js';
import { AssignmentService } from '#gen/spark_gateway/v1/assignments_pb.js';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { Forwarder } from '../../../src/lib/grpc/forward.js';
import { asGone } from '../../../src/model/driver-record.js';
import { GatewayError } from '../../../src/model/errors.js';
import { notLeading } from '../../../src/model/refusals.js';
import { addAssignmentService } from '../../../src/sessions/assignment-service.js';
import { unlimitedQueries } from '../../../src/model/assignment.js';
import { SidecarNotices } from '../../../src/sessions/notices.js';
import { listen } from '../../support/assignment-client.js';
import { assignmentWatch } from '../../support/assignment-watch.js';
import { alice, bob, driverRecord, sessionId } from '../../support/driver-records.js';
import { assignRequest, sessionFixture } from '../../support/session-fixture.js';
import { Signal } from '../../support/signal.js';

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
