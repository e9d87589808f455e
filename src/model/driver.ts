import type { ObjectReference } from './fleet-problem.js';
import type { Principal } from './principal.js';

/** The standard port of a Spark Connect server. */
export const SPARK_CONNECT_PORT = 15002;

/**
 * A driver's way through its life:
 * - `warming`: made, not yet answering, or not yet known to every Envoy;
 * - `available`: takes new sessions, has none;
 * - `in_use`: has sessions; takes more if its pool shares drivers and there is room;
 * - `draining`: takes no new session, keeps those it has;
 * - `expired`: has no session and is to be deleted;
 * - `ending`: was asked to end, and is waited for;
 * - `gone`: surely ended; the record stays for its tombstones.
 */
export const driverPhases = [
  'warming',
  'available',
  'in_use',
  'draining',
  'expired',
  'ending',
  'gone',
] as const;
export type DriverPhase = (typeof driverPhases)[number];

/** Whether a driver in this phase is on its way out, or gone, without sessions: nothing is left to decide about it. */
export function isLeaving(phase: DriverPhase): boolean {
  return phase === 'expired' || phase === 'ending' || phase === 'gone';
}

export function isDriverPhase(text: string): text is DriverPhase {
  return driverPhases.some((phase) => phase === text);
}

/** What discovery says of a driver at one moment. */
export type DriverCondition =
  /** Exists but has not answered yet. */
  | 'starting'
  | 'ready'
  /** Has been ready and does not answer now: takes no new session, stays routable. */
  | 'not_ready'
  /** Asked to end: takes no new session, stays routable until it has ended. */
  | 'terminating'
  /** What it is in cannot be read now: takes no new session, stays routable, and nothing is concluded of it. */
  | 'in_doubt'
  /** Its process or container has surely ended. */
  | 'ended';

/** One driver as discovery sees it. */
export interface ObservedDriver {
  /** Pod UID, or the id a local process or static entry was given; never a name or an address. */
  readonly uid: string;
  /** Container ID, or `pid@starttime`: a restart under the same uid shows here. Empty until there is one. */
  readonly instance: string;
  /** The name under which the factory made it; absent for a driver that someone else runs. */
  readonly resource?: string;
  readonly namespace: string;
  /** The variant of its pool's drivers that it is; absent for the pool's own. */
  readonly variant?: string;
  /** IP address without brackets; empty until there is one. */
  readonly address: string;
  readonly port: number;
  readonly condition: DriverCondition;
  /** Why it is not ready, for people. */
  readonly reason?: string;
  /** Since when it does not answer, whatever its condition, milliseconds since the epoch; absent while it answers. */
  readonly silentSinceMs?: number;
  /** When it was last seen to answer, where that is asked again and again. */
  readonly answeredAtMs?: number;
  /** It should have ended long ago: where it runs may be gone. It takes no room in its pool. */
  readonly overdue?: boolean;
  /** The driver's own `spark.connect.authenticate.token`. Never logged. */
  readonly token?: string;
  /** Whether it is known to compare each message with what authz has checked (docs/decisions/driver-fence.md). */
  readonly fenced?: boolean;
  /** Sessions that it remembers at most; absent: no bound is known. */
  readonly mostSessions?: number;
  /** Where several clusters are in use: the one it runs in. */
  readonly cluster?: ClusterPlace;
  /** The pod it is, on Kubernetes. */
  readonly object?: ObjectReference;
  /** The node that its pod was placed on. */
  readonly node?: string;
}

/** A Kubernetes cluster, seen from this gateway. */
export interface ClusterPlace {
  readonly name: string;
  /** 0 for the nearest; a new session goes to the nearest cluster that has room. */
  readonly distance: number;
}

/** Where drivers are found. */
export interface DriverSource {
  /**
   * A fresh, consistent read: a driver that is not in the answer has surely ended.
   * Rejects on any doubt, so that doubt is never taken for an end.
   */
  list(): Promise<readonly ObservedDriver[]>;
  /**
   * Whether the last answer of `list` leaves open if such a driver exists, because a part of what is
   * to be read (a cluster, a namespace) cannot be read now. Absent: every answer is whole.
   */
  inDoubt?(driver: Pick<DriverRecord, 'namespace' | 'cluster'>): boolean;
  /** Calls `listener` whenever it is time to look again. Returns a function that ends it. */
  watch(listener: () => void): () => void;
}

/** Something a factory was asked to make, whether or not a driver has come of it yet. */
export interface RequestedDriver {
  readonly resource: string;
  readonly namespace: string;
  readonly variant?: string;
  readonly createdAtMs: number;
  /** Why it has not become a driver yet, for people. */
  readonly reason?: string;
  /** Set when it will never become a driver: the reason, for people. */
  readonly failure?: string;
  /** Made from a template that has changed since. */
  readonly outdated?: boolean;
  /** What has become of it cannot be read now, so nothing is concluded of it. */
  readonly inDoubt?: boolean;
}

/** Makes and deletes drivers. Both calls are idempotent. */
export interface DriverFactory {
  /** Whether it cannot be told now what exists in this namespace, so that nothing may be made there. Absent: it can always be told. */
  inDoubt?(namespace: string): boolean;
  /** What the pool's drivers are made from now: another text when that has changed. Absent: it never changes. */
  template?(pool: {
    readonly namespace: string;
    readonly variant?: string | undefined;
  }): string | undefined;
  /** Everything this gateway asked for and that still exists. */
  list(): Promise<readonly RequestedDriver[]>;
  /** Resolves once the request is durable: a crash afterwards leaves it to be found by `list`. */
  create(resource: string, namespace: string, variant?: string): Promise<void>;
  /** Has the driver end and every trace of the request be removed, which may take its time after this resolves. */
  delete(resource: string, namespace: string): Promise<void>;
}

/** A session as its driver's record holds it. */
export interface SessionRecord {
  readonly sessionId: string;
  readonly principal: Principal;
  /** What the client claims in user_context; needed to release the session, never trusted. */
  readonly userId: string;
  readonly team: string;
  readonly environment: string;
  readonly createdAtMs: number;
  readonly lastActiveMs: number;
}

export const sessionEnds = ['released', 'expired', 'driver_gone', 'evicted'] as const;
export type SessionEnd = (typeof sessionEnds)[number];

export function isSessionEnd(text: string): text is SessionEnd {
  return sessionEnds.some((end) => end === text);
}

/** What is remembered of a session that has ended, so that it is never re-pinned in silence. */
export interface Tombstone {
  readonly sessionId: string;
  readonly principal: Principal;
  readonly namespace: string;
  readonly endedAtMs: number;
  readonly end: SessionEnd;
}

/**
 * The gateway's one record for a driver. Immutable: a change makes a new value. It outlives the
 * driver for as long as it holds a tombstone.
 */
export interface DriverRecord {
  readonly uid: string;
  readonly instance: string;
  readonly resource?: string;
  readonly namespace: string;
  readonly variant?: string;
  readonly address: string;
  readonly port: number;
  readonly cluster?: ClusterPlace;
  readonly phase: DriverPhase;
  /** Why it is in this phase, for people. */
  readonly reason?: string;
  readonly createdAtMs: number;
  readonly phaseSinceMs: number;
  /** By session id. */
  readonly sessions: Readonly<Record<string, SessionRecord>>;
  /** By session id. */
  readonly tombstones: Readonly<Record<string, Tombstone>>;
  /**
   * Whose memory the driver holds: set by its first session and kept after the last one, because a
   * driver is shared or reused within one principal (or one team) only. `shared` once another
   * principal of the team has had a session here.
   */
  readonly tenant?: {
    readonly principal: Principal;
    readonly team: string;
    readonly shared?: boolean;
  };
  /** When a draining driver's remaining sessions are ended. */
  readonly drainDeadlineMs?: number;
  /** An earlier record of the driver was lost: it may hold anybody's memory, and sessions that nobody knows. */
  readonly pastUnknown?: true;
  /** The epoch of the leader that wrote it last. */
  readonly epoch: number;
}

/** A driver as Envoy is told of it. */
export interface RoutableDriver {
  readonly uid: string;
  readonly namespace: string;
  readonly address: string;
  readonly port: number;
  /** Takes no new session: published as DRAINING, still reached by pinned requests. */
  readonly draining: boolean;
}

/** How long a driver is to keep an idle session: longer than the gateway, or it would be lost for no reason. Milliseconds. */
export function driverSessionTimeoutMs(sessionTtlMs: number): number {
  return 2 * sessionTtlMs + 3_600_000;
}

/** `ip:port` in the form that Envoy's strict pin compares: IPv6 in brackets. */
export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
