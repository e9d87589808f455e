import type { Principal } from './principal.js';

/** A session's driver, as a sidecar may remember it for `cacheTtlMs`. */
export interface Assignment {
  readonly sessionId: string;
  readonly principal: Principal;
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
  /** The driver answered a ReleaseSession with OK. */
  released(sessionId: string, atMs: number): void;
  /**
   * A reporter came or went. When one that was known goes, and again when it is back, no session that
   * it ever told of expires for a session TTL. One that has a past this process has not seen is told as
   * gone, then back: then no session does.
   */
  reporterConnected(reporterId: string): void;
  reporterDisconnected(reporterId: string): void;
}
