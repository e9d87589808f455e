/** The JSON of the admin API (/api/v1), for those who answer and those who ask. Times are RFC 3339 in UTC. */
import type { DriverPhase, ObservedDriver, SessionEnd } from './driver.js';
import type { ProblemKind } from './fleet-problem.js';
import type { Principal } from './principal.js';
import type { SyncState } from './reports.js';

/** GET status. */
export interface StatusView {
  readonly version: string;
  readonly replica: {
    readonly leads: boolean;
    /** While it leads. */
    readonly epoch?: number;
    /** Identity of the leader, where there are several replicas. */
    readonly leader?: string;
  };
  readonly policy: { readonly version: string; readonly problem?: string };
  /** Those connected to this replica. */
  readonly envoys: Readonly<Record<'connected' | 'synced' | 'stale' | 'nacked', number>>;
  readonly sessions: number;
  readonly drivers: Readonly<Record<DriverPhase, number>>;
  /** What an operator should know, one sentence each; empty: all is well. */
  readonly problems: readonly string[];
}

/**
 * `live`; `draining`: its driver takes no new session and ends when this one does or at a deadline;
 * `unreachable`: its driver does not answer or is in doubt, and the session is kept.
 */
export type SessionState = 'live' | 'draining' | 'unreachable';

export interface SessionView {
  readonly id: string;
  readonly principal: Principal;
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
  /** The driver's uid. */
  readonly driver: string;
  readonly state: SessionState;
  readonly createdAt: string;
  /** On a replica that does not lead it may lag behind by a tenth of the session TTL. */
  readonly lastActivityAt: string;
  /** RPCs that run now; only the leader knows. */
  readonly runningQueries?: number;
}

export interface EndedSessionView {
  readonly id: string;
  readonly principal: Principal;
  readonly namespace: string;
  readonly driver: string;
  readonly state: 'ended';
  readonly end: SessionEnd;
  readonly endedAt: string;
}

export interface DriverView {
  readonly uid: string;
  /** Of the pod's application or the process that this gateway made; the uid for a driver of someone else. */
  readonly name: string;
  readonly namespace: string;
  readonly phase: DriverPhase;
  /** `ip:port`; empty until there is one. */
  readonly address: string;
  readonly cluster?: string;
  /** Whether it answers. */
  readonly ready: boolean;
  /** What discovery saw last; absent when it did not see the driver. */
  readonly condition?: ObservedDriver['condition'];
  /** Whether Envoy is told of it. */
  readonly routable: boolean;
  readonly sessions: number;
  /** Whose memory it holds. */
  readonly tenant?: { readonly principal: Principal; readonly team: string };
  readonly createdAt: string;
  /** Since when it is in its phase. */
  readonly since: string;
  readonly drainDeadline?: string;
  /** Why it is in its phase, or what is wrong with it. */
  readonly problem?: string;
}

export interface DriverDetailView extends Omit<DriverView, 'sessions'> {
  readonly sessions: readonly SessionView[];
  /** Container, or process id and start time. */
  readonly instance: string;
  /** Of the leader that wrote the record last. */
  readonly epoch: number;
  /** Sessions that have ended here and are remembered. */
  readonly ended: readonly { readonly id: string; readonly end: SessionEnd; readonly at: string }[];
}

export interface PoolView {
  readonly namespace: string;
  /** Absent for a namespace that the policy's pattern does not make. */
  readonly team?: string;
  readonly environment?: string;
  /** Drivers kept ready ahead of demand. */
  readonly size: number;
  readonly maximum: number;
  /** Those that there are, in any phase. */
  readonly drivers: number;
  readonly warming: number;
  readonly available: number;
  readonly inUse: number;
  /** On their way out. */
  readonly draining: number;
  readonly sessions: number;
  /** Sessions that wait for a driver; only the leader knows. */
  readonly waiting?: number;
  /** Why the last attempt to start a driver failed, until one succeeds; only the leader knows. */
  readonly failure?: string;
}

export type XdsType = 'CDS' | 'EDS' | 'LDS' | 'RDS' | 'SDS' | 'ECDS';

export interface XdsTypeView {
  readonly state: SyncState;
  /** The last version that the Envoy acknowledged; empty for none. */
  readonly version: string;
  /** Why it rejected what it was sent. */
  readonly reason?: string;
}

export interface EnvoyView {
  readonly node: string;
  readonly cluster: string;
  readonly address: string;
  readonly connectedSince: string;
  readonly types: Readonly<Record<XdsType, XdsTypeView>>;
}

export interface SidecarView {
  readonly id: string;
  readonly connected: boolean;
  /** Until when it may use what it remembers. */
  readonly leaseEnds: string;
  /** Ends of sessions and drivers that it has not confirmed yet. */
  readonly pendingNotices: number;
}

export interface PolicyRevisionView {
  readonly version: string;
  readonly loadedAt: string;
  /** As it was written. */
  readonly text: string;
}

export interface PolicyView extends PolicyRevisionView {
  /** A file's path, or a custom resource's name. */
  readonly source: string;
  /** Why what is there now is not in force: every mistake, one on each line. */
  readonly problem?: string;
}

/** A driver after an action on it. */
export interface DriverAnswer {
  readonly uid: string;
  readonly phase: DriverPhase;
  /** Sessions that it still has. */
  readonly sessions: number;
  readonly drainDeadline?: string;
}

/** A session after an action on it. */
export interface SessionAnswer {
  readonly id: string;
  readonly driver: string;
  readonly state: 'ended';
  readonly end: SessionEnd;
  readonly endedAt: string;
}

/** How an error looks in a JSON body. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
}

/** Something that is wrong with what the gateway works with. */
export interface ProblemView {
  readonly kind: ProblemKind;
  /** `Kind namespace/name` of what it is about. */
  readonly object?: string;
  /** Where several are in use. */
  readonly cluster?: string;
  readonly message: string;
  readonly since: string;
}
