/** The JSON of the admin API (/api/v1), for those who answer and those who ask. Times are RFC 3339 in UTC. */
import type { AdminAction } from './audit.js';
import type { DriverPhase, ObservedDriver, SessionEnd } from './driver.js';
import type { ProblemKind } from './fleet-problem.js';
import type { AdministrationRole } from './policy.js';
import type { Principal } from './principal.js';
import type { ShadowCount, ShadowExample, SyncState } from './reports.js';

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
  /** Those of all replicas, unless `unknown` says otherwise. */
  readonly envoys: Readonly<Record<'connected' | 'synced' | 'stale' | 'nacked', number>>;
  /** Why what other replicas know may be missing: their Envoys, who waits, what runs, what is wrong. */
  readonly unknown?: string;
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
  /** Where nothing is heard of the leader it may lag behind by a tenth of the session TTL. */
  readonly lastActivityAt: string;
  /** RPCs that run now; absent where nothing is heard of the leader. */
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
  /** Made by this gateway, which ends it when it is not needed any more. */
  readonly managed: boolean;
  readonly phase: DriverPhase;
  /** `ip:port`; empty until there is one. */
  readonly address: string;
  readonly cluster?: string;
  /** The variant of its pool's drivers that it is; absent for the pool's own. */
  readonly variant?: string;
  /** On Kubernetes: its pod, and the node that this runs on. */
  readonly pod?: string;
  readonly node?: string;
  /** Made from a template that has changed since. */
  readonly outdated?: boolean;
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
  /** On Kubernetes: what is said of its pod and of the resource that it was made by, the newest first. */
  readonly events?: readonly DriverEventView[];
  /** Why there are none to be seen. */
  readonly eventsProblem?: string;
  /** Sessions that have ended here and are remembered. */
  readonly ended: readonly { readonly id: string; readonly end: SessionEnd; readonly at: string }[];
}

/** A Kubernetes Event. */
export interface DriverEventView {
  /** When it happened last. */
  readonly at: string;
  /** `Normal` or `Warning`. */
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  /** `Kind name`. */
  readonly object: string;
  readonly count: number;
}

export interface PoolView {
  readonly namespace: string;
  /** Set for the drivers of a canary, which have a row of their own; absent for the pool's own drivers. */
  readonly variant?: string;
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
  /** Sessions that wait for a driver; absent where nothing is heard of the leader. */
  readonly waiting?: number;
  /** Why the last attempt to start a driver failed, until one succeeds. */
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
  /** The replica of the control plane that it is connected to, where there may be several. */
  readonly replica?: string;
  readonly connectedSince: string;
  readonly types: Readonly<Record<XdsType, XdsTypeView>>;
}

export interface SidecarView {
  readonly id: string;
  /** Its pod or host. */
  readonly name: string;
  readonly connected: boolean;
  /** Until when it may use what it remembers. */
  readonly leaseEnds: string;
  /** Ends of sessions and drivers that it has not confirmed yet. */
  readonly pendingNotices: number;
  /** When its newest report came. */
  readonly lastSeen: string;
  /** By which it decides; absent: it has not told. */
  readonly policy?: { readonly version: string; readonly problem?: string };
  /** The candidate that it tries out, if one is named. */
  readonly shadow?: { readonly version?: string; readonly problem?: string };
}

/** GET policy/shadow: what is tried out and not enforced, by all sidecars that the leader knows. */
export interface ShadowView {
  /** Of `policy_shadow_file`, by version; an empty one: none is good so far. */
  readonly candidates: readonly {
    readonly version: string;
    readonly sidecars: number;
    /** Why the file is not what is tried out: every mistake, one on each line. */
    readonly problem?: string;
  }[];
  /** Of requests, since each sidecar has its version. The most frequent first. */
  readonly counts: readonly ShadowCount[];
  /** The newest first. */
  readonly examples: readonly ShadowExampleView[];
}

export interface ShadowExampleView extends Omit<ShadowExample, 'atMs'> {
  readonly at: string;
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

/** GET login: with which OpenID provider the command line logs people in. For anyone who asks. */
export interface LoginView {
  readonly issuer: string;
  /** A public client with the device flow (RFC 8628). */
  readonly clientId: string;
  /** Separated by spaces. */
  readonly scope: string;
}

/** GET me: who asks, and what their page needs to act in their name. */
export interface MeView {
  readonly principal: Principal;
  readonly groups: readonly string[];
  readonly role: AdministrationRole;
  /** The session ends then. */
  readonly goodUntil: string;
  /** To be repeated in requests that change something; absent for a bearer token. */
  readonly forgeryToken?: string;
}

/** What an operator did, as the replica that was asked saw it. */
export interface ActionView extends AdminAction {
  readonly at: string;
}

/** How the RPCs of an interval went. */
export interface RequestSample {
  readonly ended: number;
  /** Those that ended with another gRPC status than OK and were not refused. */
  readonly failed: number;
  /** By code of the refusal. */
  readonly refused: Readonly<Record<string, number>>;
  /** Of RPCs that do not stream a result, milliseconds; absent when there was none. */
  readonly latency?: { readonly p50: number; readonly p95: number; readonly p99: number };
}

/** The numbers of one moment. */
export interface SampleView {
  readonly at: string;
  readonly sessions: number;
  readonly envoys: { readonly connected: number; readonly synced: number };
  readonly pools: Readonly<Record<PoolPhase, number>>;
  /** RPCs that ended since the sample before; absent on a replica that does not lead. */
  readonly requests?: RequestSample;
}

export type PoolPhase = 'warming' | 'available' | 'inUse' | 'draining';

/** Drivers of each phase, for each sample, the oldest first. */
export type PoolSeriesView = Readonly<Record<PoolPhase, readonly number[]>>;

/** GET history: the last hour, as this replica saw it. */
export interface HistoryView {
  readonly intervalMs: number;
  /** Samples that are kept at most. */
  readonly kept: number;
  /** The oldest first. */
  readonly samples: readonly SampleView[];
  /** By namespace, or `namespace/variant`. */
  readonly pools: Readonly<Record<string, PoolSeriesView>>;
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
  /** The token issuer that it is about. */
  readonly issuer?: string;
  /** Where several are in use. */
  readonly cluster?: string;
  readonly message: string;
  readonly since: string;
  /** The replicas that say so, where there are several. */
  readonly reportedBy?: readonly string[];
}
