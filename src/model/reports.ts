/** What the parts of the gateway tell operators of themselves. None of it holds a secret. */
import type { DriverPhase, ObservedDriver } from './driver.js';
import type { PoolStatus } from './pool.js';
import type { Principal } from './principal.js';

export interface DriverStatus {
  readonly uid: string;
  readonly namespace: string;
  /** The variant of its pool's drivers that it is; undefined for the pool's own. */
  readonly variant: string | undefined;
  /** `ip:port`; empty until there is one. */
  readonly address: string;
  /** Name of the Kubernetes cluster it runs in, where several are in use. */
  readonly cluster: string | undefined;
  readonly phase: DriverPhase;
  readonly reason: string | undefined;
  /** What discovery saw last; undefined when it did not see the driver. */
  readonly condition: ObservedDriver['condition'] | undefined;
  /** Name of the pod that discovery saw, and its node. */
  readonly pod: string | undefined;
  readonly node: string | undefined;
  /** Made from a template that has changed since. */
  readonly outdated: boolean;
  /** The name under which this gateway made it; undefined for a driver that someone else runs. */
  readonly resource: string | undefined;
  /** Whether Envoy is told of it. */
  readonly routable: boolean;
  readonly sessions: number;
  readonly tenant: { readonly principal: Principal; readonly team: string } | undefined;
  readonly createdAtMs: number;
  readonly phaseSinceMs: number;
  readonly drainDeadlineMs: number | undefined;
}

export interface PoolReport extends PoolStatus {
  readonly namespace: string;
  /** Set for the drivers of a canary, undefined for the pool's own. */
  readonly variant: string | undefined;
  readonly size: number;
  readonly waiting: number;
  readonly available: number;
  readonly inUse: number;
  readonly draining: number;
  readonly sessions: number;
}

export interface FleetReport {
  readonly drivers: readonly DriverStatus[];
  readonly pools: readonly PoolReport[];
  /** When discovery was last read as a whole; undefined before the first time. */
  readonly lastReadMs: number | undefined;
  /** Why the last read failed: until one succeeds, nothing changes. */
  readonly readError: string | undefined;
  /** Why the last write of a record failed, until one succeeds. */
  readonly writeError: string | undefined;
}

/**
 * How far a client of xDS is with one type of resource. `NEVER_SENT`: nothing was there to send;
 * `STALE`: something is to be sent or not yet answered; `NACKED`: the client rejected a version and
 * keeps its last good one.
 */
export type SyncState = 'NEVER_SENT' | 'SYNCED' | 'STALE' | 'NACKED';

export interface TypeStatus {
  readonly typeUrl: string;
  readonly state: SyncState;
  /** The last version that the client acknowledged; empty for none. */
  readonly version: string;
  readonly lastAckMs: number | undefined;
  readonly wildcard: boolean;
  /** How many resources it subscribes to by name. */
  readonly names: number;
  /** What the client said when it rejected. */
  readonly error: string | undefined;
}

/** One stream of an xDS client. An Envoy has one when it is aggregated, else one for each type. */
export interface NodeStatus {
  readonly id: string;
  readonly cluster: string;
  readonly view: string;
  readonly remoteAddress: string;
  readonly protocol: 'sotw' | 'delta';
  readonly aggregated: boolean;
  readonly connectedAtMs: number;
  readonly types: readonly TypeStatus[];
}

/** One that is connected to this replica or to another. */
export interface ConnectedEnvoy extends NodeStatus {
  /** Name of that replica, where there may be several. */
  readonly replica?: string;
}

/** What a sidecar decides by. */
export interface SidecarPolicy {
  /** In force. */
  readonly version: string;
  /** Why what its source says last is not in force. */
  readonly problem: string | undefined;
  /** undefined: nothing is tried out. */
  readonly shadow: ShadowReport | undefined;
  /** Token issuers whose keys could not be fetched the last time. Default: none. */
  readonly issuers?: readonly IssuerProblem[];
}

export interface IssuerProblem {
  readonly issuer: string;
  readonly problem: string;
  /** Whether keys from before are in use. */
  readonly keysKnown: boolean;
}

/** What is tried out and not enforced: a candidate policy, and rules of the policy in force. */
export interface ShadowReport {
  /** Of the candidate; undefined: there is none, or it has not been good so far. */
  readonly version: string | undefined;
  /** Why what the candidate's file says last is not tried out. */
  readonly problem: string | undefined;
  /** Of requests, since the version that decides otherwise came. */
  readonly counts: readonly ShadowCount[];
  /** The newest ones, the newest first. */
  readonly examples: readonly ShadowExample[];
}

export interface ShadowKind {
  /** The candidate policy, or a rule of the one in force. */
  readonly source: 'policy' | 'rule';
  readonly would: 'refuse' | 'allow' | 'move' | 'same';
  /** Of the refusal; else `OK`. */
  readonly code: string;
}

export interface ShadowCount extends ShadowKind {
  readonly count: number;
}

export interface ShadowExample extends ShadowKind {
  /** The candidate's version, or the rule. */
  readonly by: string;
  readonly principal: Principal;
  /** The gRPC method's last path segment. */
  readonly method: string;
  readonly message: string;
  readonly atMs: number;
}

export interface SidecarStatus {
  readonly sidecarId: string;
  /** What people call it, such as its pod; empty: nothing. */
  readonly name: string;
  readonly connected: boolean;
  /** When its newest report came. */
  readonly lastSeenMs: number;
  /** undefined: it has not told. */
  readonly policy: SidecarPolicy | undefined;
  /** Until when it may use what it has cached. */
  readonly leaseEndsMs: number;
  readonly pendingNotices: number;
}

/** A policy that is or was in force. */
export interface PolicyRevision {
  readonly version: string;
  readonly loadedAtMs: number;
  /** As it was written. */
  readonly text: string;
}

export interface PolicyReport extends PolicyRevision {
  /** Where it comes from: a file's path, or a custom resource's name. */
  readonly source: string;
  /** Why what is there now is not in force: every mistake, one on each line. */
  readonly problem: string | undefined;
}

/** Who leads, as one replica sees it. */
export interface ReplicaReport {
  /** While this replica leads. */
  readonly epoch: number | undefined;
  /** Identity of the leader, where there are several replicas and one leads. */
  readonly leader: string | undefined;
  /** Why what this replica knows may be old. */
  readonly problem: string | undefined;
}
