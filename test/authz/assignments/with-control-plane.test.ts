import test from 'ava';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { asGone } from '../../../src/model/driver-record.js';
import { GatewayError } from '../../../src/model/errors.js';
import { addAssignmentService } from '../../../src/sessions/assignment-service.js';
import { unlimitedQueries } from '../../../src/model/assignment.js';
import { SidecarNotices } from '../../../src/sessions/notices.js';
import { assignmentWatch } from '../../support/assignment-watch.js';
import { bob, driverRecord, sessionId } from '../../support/driver-records.js';
import { assignRequest, sessionFixture } from '../../support/session-fixture.js';
import { Signal } from '../../support/signal.js';

const request = assignRequest(sessionId(1));
const signal = new AbortController().signal;

test('sidecar and control plane agree on who has a driver, and on when it is forgotten', async (t) => {
  const world = await sessionFixture([driverRecord('d1')]);
  const { ledger, clock, leadership, logger, assigner } = world;
  const notices = new SidecarNotices({ ledger, clock, cacheTtlMs: 600_000 });
  const reports = new Signal<readonly string[]>();
  const server = new Server();
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
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.1.3.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  let hits = 0;
  const client = new AssignmentsClient({
    addresses: [`127.1.3.1:${port}`],
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
  server.forceShutdown();
});
