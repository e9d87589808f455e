/** What only a leader has: the answers to sidecars, what they are told, and the end of sessions. Made for one term. */
import type { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { BatchTerm } from '../batch/batch-term.js';
import { addAdministrationService } from '../console/replicas.js';
import type { SharedFleet } from '../console/shared-fleet.js';
import type { PoolController } from '../fleet/controller.js';
import type { Term } from '../fleet/records/elected-ledger.js';
import { mtlsFiles } from '../lib/grpc/port.js';
import { clientCredentials } from '../lib/grpc/tls.js';
import type { Operations, DriverOutcome, SessionOutcome } from '../model/administration.js';
import type { ActivitySink, QueryReports } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import { type SessionRecord, isLeaving, type DriverRecord } from '../model/driver.js';
import type { EnvoyCounts } from '../model/envoy-counts.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import type { Ledger } from '../model/ledger.js';
import type { DiffPolicy } from '../model/policy-diff.js';
import type { Policy } from '../model/policy.js';
import type { Observations, PoolStatusSource, SidecarCaches } from '../model/pool.js';
import type { Principal } from '../model/principal.js';
import { QueryGate } from '../queries/query-gate.js';
import { type AssignmentWatch, addAssignmentService } from '../sessions/assignment-service.js';
import { SessionAssigner } from '../sessions/session-assigner.js';
import { SessionExpiry } from '../sessions/expiry.js';
import { SidecarNotices } from '../sessions/notices.js';
import { SeenRequestTable } from '../sessions/sidecar-status.js';
import { sparkConnectClient } from '../sessions/spark-connect-client.js';
import type { WaitingRoom } from '../sessions/waiting-room.js';
import { accessLogIntervalMs } from '../settings/compile-settings.js';
import { policyOptions } from '../settings/policy-options.js';
import type { Settings } from '../settings/table.js';
import { policyDiffer } from './role-policy.js';
import { refuseBatch } from './batch.js';
import type { Records } from './records.js';

export interface LeaderOptions {
  readonly settings: Settings;
  readonly pools: Observations & PoolStatusSource & Pick<PoolController, 'drain' | 'undrain'>;
  readonly records: Pick<Records, 'askDrain' | 'askUndrain'>;
  readonly waitingRoom: WaitingRoom;
  readonly policy: () => Policy;
  readonly watch: AssignmentWatch;
  readonly shared: Pick<SharedFleet, 'take'>;
  /** Told of what a sidecar's Envoy has counted so far. */
  readonly counted: (sidecarId: string, counts: readonly EnvoyCounts[]) => void;
  /** Of batch jobs, where this gateway runs them. */
  readonly batch: BatchTerm | undefined;
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
  /** Whether no request of the session had an answer of its driver yet. */
  isUnanswered(session: SessionRecord): boolean;
  /** Registers what sidecars and other replicas ask for. */
  addServices(server: Server): void;
  /** Begins to end sessions that are idle. */
  start(): void;
  stop(): void;
}

export function createLeader(term: Term, options: LeaderOptions): Leader {
  const {
    settings,
    pools,
    records,
    waitingRoom,
    policy,
    watch,
    shared,
    counted,
    batch,
    clock,
    logger,
  } = options;
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
    disconnectedTtlMs: (namespace) => policy().pool(namespace)?.disconnectedTtlMs,
    tombstoneTtlMs: settings.sessions.tombstoneTtlMs,
  });
  const activityOf = (session: SessionRecord) => ({
    lastActiveMs: expiry.activity.lastActiveMs(session),
    openStreams: expiry.activity.openStreams(session.sessionId),
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
    activityOf,
    isUnanswered: (session) => expiry.activity.isUnanswered(session),
    addServices(server) {
      addAssignmentService(server, {
        assigner,
        notices,
        activity: expiry.activity,
        seen,
        counted,
        queries,
        leadership,
        watch,
        clock,
        logger,
      });
      addAdministrationService(server, { operations, diffPolicy, shared, logger });
      if (batch) batch.addServices(server);
      else refuseBatch(server, logger);
    },
    start() {
      expiry.start();
      batch?.start();
    },
    stop() {
      expiry.stop();
      void batch?.stop();
      queries.close();
    },
  };
}

// What operators do, done by the leader.

export interface LeaderOperationsOptions {
  readonly ledger: Ledger;
  readonly pools: Pick<PoolController, 'drain' | 'undrain'>;
  readonly sessions: Pick<SessionExpiry, 'end'>;
  readonly records: Pick<Records, 'askDrain' | 'askUndrain'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class LeaderOperations implements Operations {
  readonly #o: LeaderOperationsOptions;

  constructor(options: LeaderOperationsOptions) {
    this.#o = options;
  }

  async drain(
    driverUid: string,
    deadlineMs: number | undefined,
    by: Principal,
  ): Promise<DriverOutcome> {
    await this.#drain(driverUid, deadlineMs);
    this.#o.logger.info({ driver: driverUid, deadlineMs, by }, 'an operator drains a driver');
    return this.#outcome(driverUid);
  }

  async undrain(driverUid: string, by: Principal): Promise<DriverOutcome> {
    const { phase } = this.#known(driverUid);
    if (phase === 'draining') await this.#store(this.#o.records.askUndrain?.(driverUid));
    await this.#o.pools.undrain(driverUid);
    this.#o.logger.info({ driver: driverUid, by }, 'an operator takes a drain back');
    return this.#outcome(driverUid);
  }

  /** A drain whose deadline is now; its sessions are not left for the deadline to be noticed. */
  async evict(driverUid: string, by: Principal): Promise<DriverOutcome> {
    await this.#drain(driverUid, this.#o.clock.now());
    const { sessions } = this.#known(driverUid);
    await Promise.all(Object.keys(sessions).map((id) => this.#o.sessions.end(id, 'evicted')));
    this.#o.logger.info({ driver: driverUid, by }, 'an operator evicts a driver');
    return this.#outcome(driverUid);
  }

  async release(sessionId: string, by: Principal): Promise<SessionOutcome> {
    if (await this.#o.sessions.end(sessionId, 'released')) {
      this.#o.logger.info({ session: sessionId, by }, 'an operator ends a session');
    }
    const record = this.#o.ledger.bySession(sessionId);
    const tombstone = record?.tombstones[sessionId];
    if (!record || !tombstone) {
      throw new GatewayError('SESSION_UNKNOWN', `There is no session ${sessionId}.`);
    }
    // An end that somebody else made may not be stored yet.
    await this.#o.ledger.update(record.uid, (current) => current);
    const { end, endedAtMs } = tombstone;
    return { sessionId, driverUid: record.uid, end, endedAtMs };
  }

  /** Nothing is left to do for a driver that is gone or on its way out without sessions. */
  async #drain(driverUid: string, deadlineMs: number | undefined): Promise<void> {
    const { phase } = this.#known(driverUid);
    if (isLeaving(phase)) return;
    const { records, pools } = this.#o;
    await this.#store(records.askDrain?.(driverUid, deadlineMs));
    await pools.drain(driverUid, deadlineMs);
  }

  async #store(written: Promise<void> | undefined): Promise<void> {
    try {
      await written;
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        `The gateway cannot store what you ask: ${reasonOf(error)}. Try again in a moment.`,
        { cause: error, retryAfterMs: 2_000 },
      );
    }
  }

  #known(driverUid: string): DriverRecord {
    const record = this.#o.ledger.get(driverUid);
    if (!record) throw new GatewayError('DRIVER_UNKNOWN', `There is no driver ${driverUid}.`);
    return record;
  }

  #outcome(driverUid: string): DriverOutcome {
    const { uid, phase, sessions, drainDeadlineMs } = this.#known(driverUid);
    return { uid, phase, sessions: Object.keys(sessions).length, drainDeadlineMs };
  }
}

// Who answers the calls of sidecars, and is told what sessions do: this process while it leads, else the leader that it
// passes them on to, else nobody. Whenever that changes, calls under way end with UNAVAILABLE, so
// that their callers come back to whoever leads then.

export interface SuccessionOptions {
  readonly createLeader: (term: Term) => Pick<
    Leader,
    'activity' | 'queries' | 'addServices' | 'start' | 'stop'
  > & {
    readonly notices: SidecarCaches;
  };
  readonly port: {
    serve(addServices: (server: Server) => void): void;
    endCalls(error: GatewayError): void;
  };
  readonly forwarder: {
    setTarget(address: string | undefined): void;
    addServices(server: Server): void;
  };
  /** From now on what sessions do is told to this leader; undefined: to whoever leads elsewhere. */
  readonly tellActivity: (leader: Pick<Leader, 'activity' | 'queries'> | undefined) => void;
  readonly notLeading: () => GatewayError;
}

export class Succession implements SidecarCaches {
  readonly #options: SuccessionOptions;
  readonly #listeners = new Set<() => void>();
  #term: Term | undefined;
  #leader: ReturnType<SuccessionOptions['createLeader']> | undefined;
  #isServing = false;

  constructor(options: SuccessionOptions) {
    this.#options = options;
    options.port.serve((server) => options.forwarder.addServices(server));
    options.tellActivity(undefined);
  }

  /** A term begins: it is answered for from the first look at the drivers under its epoch on. Or one ends. */
  setTerm(term: Term | undefined): void {
    this.#leader?.stop();
    this.#leader = undefined;
    this.#term = term;
    if (term) {
      this.#leader = this.#options.createLeader(term);
      this.#leader.notices.onChange(() => this.#changed());
    }
    this.#serveForwarder();
    this.#changed();
  }

  /** Another replica leads, at this address; or nobody does, or this one. */
  setLeaderElsewhere(address: string | undefined): void {
    this.#options.forwarder.setTarget(address);
    if (this.#isServing) return;
    this.#options.tellActivity(undefined);
    this.#endCalls();
  }

  /** Every driver was looked at under this epoch. */
  looked(epoch: number | undefined): void {
    const { port, forwarder } = this.#options;
    const leader = this.#leader;
    if (!leader || this.#isServing || epoch === undefined || epoch !== this.#term?.epoch) return;
    forwarder.setTarget(undefined);
    port.serve((server) => leader.addServices(server));
    this.#options.tellActivity(leader);
    this.#isServing = true;
    this.#endCalls();
    leader.start();
  }

  haveForgotten(driverUid: string): boolean {
    return this.#leader?.notices.haveForgotten(driverUid) ?? false;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#leader?.stop();
    this.#options.forwarder.setTarget(undefined);
  }

  #serveForwarder(): void {
    if (!this.#isServing) return;
    const { port, forwarder } = this.#options;
    this.#isServing = false;
    port.serve((server) => forwarder.addServices(server));
    this.#options.tellActivity(undefined);
    this.#endCalls();
  }

  #endCalls(): void {
    this.#options.port.endCalls(this.#options.notLeading());
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
