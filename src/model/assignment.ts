import type { Principal, Caller } from './principal.js';

/** A session's driver, as a sidecar may remember it for `cacheTtlMs`. */
export interface Assignment {
  readonly sessionId: string;
  readonly principal: Principal;
  /**
   * What the session's first request claimed: for Spark the same id with another user is another session,
   * which nobody would count or end. undefined: a control plane of an earlier release does not tell.
   */
  readonly userId?: string | undefined;
  readonly driverUid: string;
  /** Name of the EDS cluster that holds the driver. */
  readonly cluster: string;
  /** As `hostPort` makes it. */
  readonly address: string;
  /** The driver's own token, put in place of the user's; undefined for a driver without one. */
  readonly driverToken: string | undefined;
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
  readonly cacheTtlMs: number;
}

export interface AssignRequest {
  readonly sessionId: string;
  readonly principal: Principal;
  readonly userId: string;
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
  /** Whether this RPC may make an assignment or start a driver. */
  readonly mayCreate: boolean;
  /** A client sends such before whatever it does: it begins no session whose client has given up waiting. */
  readonly incidental?: boolean;
  readonly holdMs: number;
  /** The session whose driver the new session is to share (CloneSession). */
  readonly cloneOf?: string;
  /** Last segment of the gRPC path, for audit. */
  readonly method: string;
  /** Span that asks, for the trace of the request. */
  readonly traceparent?: string | undefined;
}

/** Decides which driver a session belongs to. Rejects with a GatewayError. */
export interface Assigner {
  assign(request: AssignRequest, signal: AbortSignal): Promise<Assignment>;
  /** What `assign` would resolve with without asking anybody; undefined, or left out: it must ask. */
  remembered?(request: AssignRequest): Assignment | undefined;
}

/** Something a session did. */
export interface SessionActivity {
  readonly sessionId: string;
  readonly atMs: number;
  /** The client's ReleaseSession was let through to the driver. */
  readonly released: boolean;
}

/** Takes in what reporters (sidecars, access logs) saw. */
export interface ActivitySink {
  /** `reporterId`: who told of it, where that is one that may come and go. */
  activity(events: readonly SessionActivity[], reporterId?: string): void;
  /**
   * A stream of this session opened on some Envoy; it counts as activity until it closes.
   * `streamId` begins with the id of its reporter and a slash: when that reporter goes, nobody would
   * tell of the stream's end, so it counts for no more than that moment.
   */
  streamOpened(sessionId: string, streamId: string, atMs: number, reporterId: string): void;
  streamClosed(sessionId: string, streamId: string, atMs: number): void;
  /**
   * A request of the session came on this connection of a client. `connectionId` begins with the id of
   * its reporter and a slash. `atMs`: by the reporter's clock, as in `connectionEnded`.
   */
  connectionUsed(sessionId: string, connectionId: string, atMs: number): void;
  /** A connection of a client has ended, whether or not a session used it. */
  connectionEnded(connectionId: string, atMs: number): void;
  /** Connections may have been used, or have ended, of which this reporter could not tell. */
  connectionsMissed(reporterId: string): void;
  /** The driver answered an RPC of this session. */
  answered?(sessionId: string): void;
  /** The driver answered a ReleaseSession with OK. */
  released(sessionId: string, atMs: number): void;
  /** The driver answered that it has ended the session by itself: by a timeout of its own. */
  closedByDriver?(sessionId: string, driverUid: string): void;
  /**
   * A reporter came or went. When one that was known goes, and again when it is back, no session that
   * it ever told of expires for a session TTL. One that has a past this process has not seen is told as
   * gone, then back: then no session does.
   */
  reporterConnected(reporterId: string): void;
  reporterDisconnected(reporterId: string): void;
}

// Queries that run at a time. A query is an open stream of ExecutePlan or ReattachExecute: it counts
// while somebody waits for its result.

export interface Query {
  /** Envoy's id of the request, as in its access log. */
  readonly requestId: string;
  readonly sessionId: string;
  readonly principal: Principal;
  readonly team: string;
  readonly namespace: string;
}

/** Asked before a query begins, where the policy limits how many there are at a time. */
export interface QueryAdmission {
  /**
   * Resolves when the query may begin. Rejects with QUERY_LIMIT_EXCEEDED when there was no room for
   * it for `holdMs`, and with anything else when nobody could be asked. Idempotent by its request.
   */
  admit(query: Query, holdMs: number, signal: AbortSignal): Promise<void>;
  /** The result of a query that runs is fetched on: it counts, and is never held. */
  resumed(query: Query): void;
}

/** Holds no query back. */
export const unlimitedQueries: QueryAdmission = {
  admit: () => Promise.resolve(),
  resumed: () => undefined,
};

/** Takes in what access logs tell of queries. */
export interface QueryReports {
  /** `source`: stands for the stream of the access log. */
  running(query: Query, source: object): void;
  /** A request that may have been a query is over, after so long. */
  ended(requestId: string, durationMs: number): void;
  /** The stream has ended: its queries may go on, and others would tell of them. */
  lost(source: object): void;
}

// Requests as policies see them, told by the sidecars so that another policy can be tried on them.

/** The newest request of a session, or the newest one that somebody was refused. Never logged or stored. */
export interface SeenRequest {
  /** undefined: it was refused. */
  readonly sessionId: string | undefined;
  readonly caller: Pick<Caller, 'principal' | 'claims'>;
  /** The `:authority` without port. */
  readonly host: string;
  /** Those headers that say where the request goes, by their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** As the client claims it. */
  readonly userId: string;
}

/** Takes in what sidecars saw. Must be cheap. */
export interface SeenRequestSink {
  seen(request: SeenRequest): void;
}
