import test from 'ava';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { unlimitedQueries } from '../../../src/model/assignment.js';
import type { SidecarPolicy } from '../../../src/model/reports.js';
import { addAssignmentService } from '../../../src/sessions/assignment-service.js';
import { SidecarNotices } from '../../../src/sessions/notices.js';
import { assignmentWatch } from '../../support/assignment-watch.js';
import { alice, START_MS } from '../../support/driver-records.js';
import { sessionFixture } from '../../support/session-fixture.js';
import { Signal } from '../../support/signal.js';
import { WatchedClock } from '../../support/watched-clock.js';

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
