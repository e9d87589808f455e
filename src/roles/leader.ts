/** What only a leader has: the answers to sidecars, what they are told, and the end of sessions. Made for one term. */
import type { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { addAdministrationService } from '../console/replicas/service.js';
import { clientCredentials } from '../grpc/tls.js';
import type { Operations } from '../model/administration.js';
import type { ActivitySink } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import type { SessionRecord } from '../model/driver.js';
import type { DiffPolicy } from '../model/policy-diff.js';
import type { Policy } from '../model/policy.js';
import type { QueryReports } from '../model/query.js';
import type { Observations, PoolStatusSource } from '../model/pool.js';
import type { PoolController } from '../pools/controller.js';
import type { Term } from '../records/elected-ledger.js';
import type { AssignmentWatch } from '../sessions/assignment-watch.js';
import { addAssignmentService } from '../sessions/assignment-service.js';
import { SessionAssigner } from '../sessions/assignments.js';
import { SessionExpiry } from '../sessions/expiry.js';
import { QueryGate } from '../sessions/query-gate.js';
import { SeenRequestTable } from '../sessions/seen-requests.js';
import { SidecarNotices } from '../sessions/notices.js';
import { sparkConnectClient } from '../sessions/spark-connect-client.js';
import type { WaitingRoom } from '../sessions/waiting-room.js';
import { accessLogIntervalMs } from '../settings/access-log-interval.js';
import { policyOptions } from '../settings/for-policy.js';
import type { Settings } from '../settings/table.js';
import { mtlsFiles } from './grpc-port.js';
import { LeaderOperations } from './operations.js';
import { policyDiffer } from './policy-diff.js';
import type { Records } from './records.js';

export interface LeaderOptions {
  readonly settings: Settings;
  readonly pools: Observations & PoolStatusSource & Pick<PoolController, 'drain'>;
  readonly records: Pick<Records, 'askDrain'>;
  readonly waitingRoom: WaitingRoom;
  readonly policy: () => Policy;
  readonly watch: AssignmentWatch;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Leader {
  readonly notices: SidecarNotices;
  readonly operations: Operations;
  readonly diffPolicy: DiffPolicy;
  /** Where reporters tell what sessions did. */
  readonly activity: ActivitySink;
  /** Where they tell of queries, and what is known of those. */
  readonly queries: QueryReports & Pick<QueryGate, 'counts'>;
  /** What reporters saw of a session. */
  activityOf(session: SessionRecord): {
    readonly lastActiveMs: number;
    /** RPCs that run now. */
    readonly openStreams: number;
  };
  /** Registers what sidecars and other replicas ask for. */
  addServices(server: Server): void;
  /** Begins to end sessions that are idle. */
  start(): void;
  stop(): void;
}

export function createLeader(term: Term, options: LeaderOptions): Leader {
  const { settings, pools, records, waitingRoom, policy, watch, clock, logger } = options;
  const { ledger, leadership } = term;
  const { cacheTtlMs } = settings.assignments;
  const notices = new SidecarNotices({ ledger, clock, cacheTtlMs });
  const expiry = new SessionExpiry({
    ledger,
    leadership,
    observations: pools,
    sparkConnect: sparkConnectClient(
      clientCredentials(mtlsFiles(settings.drivers.tls), {
        clock,
        serverNames: settings.drivers.tls.names,
        onError: (error) => logger.error({ err: error }, 'drivers.tls cannot be renewed'),
      }),
    ),
    clock,
    logger,
    sessionTtlMs: settings.sessionTtlMs,
    tombstoneTtlMs: settings.sessions.tombstoneTtlMs,
  });
  const assigner = new SessionAssigner({
    ledger,
    leadership,
    observations: pools,
    policy,
    poolStatus: pools,
    waitingRoom,
    activity: expiry.activity,
    clock,
    logger,
    cacheTtlMs,
  });
  const queries = new QueryGate({ policy, clock, intervalMs: accessLogIntervalMs(settings) });
  const operations = new LeaderOperations({
    ledger,
    pools,
    sessions: expiry,
    records,
    clock,
    logger,
  });
  const seen = new SeenRequestTable();
  const compile = policyOptions(settings);
  const diffPolicy = policyDiffer({ policy, compile, ledger, seen });
  return {
    notices,
    operations,
    diffPolicy,
    activity: expiry.activity,
    queries,
    activityOf: (session) => ({
      lastActiveMs: expiry.activity.lastActiveMs(session),
      openStreams: expiry.activity.openStreams(session.sessionId),
    }),
    addServices(server) {
      addAssignmentService(server, {
        assigner,
        notices,
        activity: expiry.activity,
        seen,
        queries,
        leadership,
        watch,
        clock,
        logger,
      });
      addAdministrationService(server, { operations, diffPolicy, logger });
    },
    start: () => expiry.start(),
    stop() {
      expiry.stop();
      queries.close();
    },
  };
}
