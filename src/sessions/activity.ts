/** When each session was last active, from what the reporters saw. */
import type { ActivitySink, SessionActivity } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import type { SessionRecord } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';

/** The share of the TTL by which the record's `lastActiveMs` may lag behind. */
const RECORD_LAG = 0.1;

export interface ActivityOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly sessionTtlMs: number;
  /** A session was released: surely (its driver said so), or as a sidecar let the request through. */
  readonly onRelease: (sessionId: string, sure: boolean) => void;
  /** The session's own driver has ended it. */
  readonly onClosed: (sessionId: string) => void;
}

interface Seen {
  lastActiveMs: number;
  readonly streams: Set<string>;
  /** Who told of it, and might have told more while they were away. */
  readonly reporters: Set<string>;
  /** Of its clients, those that are open. */
  readonly connections: Set<string>;
  /** Since when there are none of those; undefined: there are, or it is not known that there are not. */
  disconnectedAtMs: number | undefined;
  isAnswered: boolean;
}

/** A connection of which nobody can tell whether it has ended. */
const UNKNOWN_CONNECTION = '';
/** For which the record of a request may be under way. */
const DELIVERY_MS = 5_000;
/** For which the records of a connection may come in another order than they were made. */
const DISORDER_MS = 60_000;
/** Ended connections that are remembered for that: whoever can reach the front can make and end them. */
const MOST_ENDED_CONNECTIONS = 50_000;

export class ActivityTable implements ActivitySink {
  readonly #options: ActivityOptions;
  readonly #seen = new Map<string, Seen>();
  /** Reporters by id: since when they are away, or undefined while they are connected. */
  readonly #reporters = new Map<string, number | undefined>();
  /** The sessions that use an open connection: most of those that end are none of theirs. */
  readonly #usersOf = new Map<string, Set<Seen>>();
  /** Ends of connections, the oldest first, by their reporters' clocks and by ours. */
  readonly #endedConnections = new Map<
    string,
    { readonly atMs: number; readonly heardMs: number }
  >();
  #quietUntilMs: number;
  readonly #startedMs: number;

  constructor(options: ActivityOptions) {
    this.#options = options;
    this.#startedMs = options.clock.now();
    // What happened before this process began, nobody told it.
    this.#quietUntilMs = options.clock.now() + options.sessionTtlMs;
  }

  activity(events: readonly SessionActivity[], reporterId?: string): void {
    for (const { sessionId, atMs, released } of events) {
      const seen = this.#touch(sessionId, atMs);
      if (reporterId !== undefined) seen?.reporters.add(reporterId);
      // Somebody has come on a connection of which no record has come yet, or none ever will.
      if (seen && atMs > (seen.disconnectedAtMs ?? Infinity) + DELIVERY_MS) {
        seen.disconnectedAtMs = undefined;
      }
      if (released && this.#isLive(sessionId)) this.#options.onRelease(sessionId, false);
    }
  }

  streamOpened(sessionId: string, streamId: string, atMs: number, reporterId: string): void {
    const seen = this.#touch(sessionId, atMs);
    seen?.streams.add(streamId);
    seen?.reporters.add(reporterId);
  }

  streamClosed(sessionId: string, streamId: string, atMs: number): void {
    this.#touch(sessionId, atMs)?.streams.delete(streamId);
  }

  connectionUsed(sessionId: string, connectionId: string, atMs: number): void {
    const seen = this.#seen.get(sessionId);
    const ended = this.#endedConnections.get(connectionId);
    if (!seen || (ended && ended.atMs >= atMs)) return;
    seen.connections.add(connectionId);
    const users = this.#usersOf.get(connectionId);
    if (users) users.add(seen);
    else this.#usersOf.set(connectionId, new Set([seen]));
    seen.disconnectedAtMs = undefined;
  }

  connectionEnded(connectionId: string, atMs: number): void {
    const nowMs = this.#options.clock.now();
    this.#endedConnections.delete(connectionId);
    this.#endedConnections.set(connectionId, { atMs, heardMs: nowMs });
    const [oldest] = this.#endedConnections.keys();
    if (this.#endedConnections.size > MOST_ENDED_CONNECTIONS && oldest !== undefined) {
      this.#endedConnections.delete(oldest);
    }
    const users = this.#usersOf.get(connectionId) ?? [];
    this.#usersOf.delete(connectionId);
    for (const seen of users) {
      if (seen.connections.delete(connectionId) && seen.connections.size === 0) {
        seen.disconnectedAtMs = nowMs;
      }
    }
  }

  connectionsMissed(reporterId: string): void {
    for (const { connections, reporters } of this.#seen.values()) {
      if (reporters.has(reporterId)) connections.add(UNKNOWN_CONNECTION);
    }
  }

  /** Since when no client is connected for the session; undefined where one is, or may be. */
  disconnectedAtMs(sessionId: string): number | undefined {
    return this.#seen.get(sessionId)?.disconnectedAtMs;
  }

  answered(sessionId: string): void {
    const seen = this.#seen.get(sessionId);
    if (seen) seen.isAnswered = true;
    else if (this.#isLive(sessionId)) {
      this.#seen.set(sessionId, { ...newlySeen(false), isAnswered: true });
    }
  }

  /** Whether no RPC of the session had an answer yet: surely not, of one that began before this process looked. */
  isUnanswered({ sessionId, createdAtMs }: SessionRecord): boolean {
    return createdAtMs >= this.#startedMs && this.#seen.get(sessionId)?.isAnswered !== true;
  }

  released(sessionId: string, atMs: number): void {
    if (this.#touch(sessionId, atMs)) this.#options.onRelease(sessionId, true);
  }

  closedByDriver(sessionId: string, driverUid: string): void {
    if (this.#options.ledger.bySession(sessionId)?.uid !== driverUid) return;
    if (this.#isLive(sessionId)) this.#options.onClosed(sessionId);
  }

  reporterConnected(reporterId: string): void {
    if (this.#reporters.get(reporterId) !== undefined) this.#toldBy(reporterId);
    this.#reporters.set(reporterId, undefined);
  }

  reporterDisconnected(reporterId: string): void {
    const nowMs = this.#options.clock.now();
    // Nobody knows which sessions it would have told of.
    if (!this.#reporters.has(reporterId)) this.#quietUntilMs = nowMs + this.#options.sessionTtlMs;
    this.#reporters.set(reporterId, nowMs);
    for (const { streams } of this.#toldBy(reporterId)) {
      for (const streamId of streams) {
        if (streamId.startsWith(`${reporterId}/`)) streams.delete(streamId);
      }
    }
  }

  /** Until when nothing may expire, because something may have happened unseen. */
  get quietUntilMs(): number {
    return this.#quietUntilMs;
  }

  hasOpenStream(sessionId: string): boolean {
    return this.openStreams(sessionId) > 0;
  }

  /** RPCs of this session that run now. */
  openStreams(sessionId: string): number {
    return this.#seen.get(sessionId)?.streams.size ?? 0;
  }

  lastActiveMs(session: SessionRecord): number {
    const seenMs = this.#seen.get(session.sessionId)?.lastActiveMs ?? 0;
    return Math.max(session.createdAtMs, session.lastActiveMs, seenMs);
  }

  /** Counts as activity: the driver says that it is running something for the session. */
  touch(sessionId: string): void {
    this.#touch(sessionId, this.#options.clock.now());
  }

  /** Forgets sessions that have ended and reporters that stayed away. */
  prune(): void {
    for (const [sessionId, seen] of this.#seen) {
      if (this.#isLive(sessionId)) continue;
      this.#seen.delete(sessionId);
      for (const connectionId of seen.connections) this.#leave(connectionId, seen);
    }
    for (const [connectionId, { heardMs }] of this.#endedConnections) {
      if (this.#options.clock.now() - heardMs < DISORDER_MS) break;
      this.#endedConnections.delete(connectionId);
    }
    for (const [reporterId, awaySinceMs] of this.#reporters) {
      if (awaySinceMs === undefined) continue;
      const awayMs = this.#options.clock.now() - awaySinceMs;
      if (awayMs <= this.#options.sessionTtlMs) continue;
      this.#reporters.delete(reporterId);
      for (const { reporters } of this.#seen.values()) reporters.delete(reporterId);
    }
  }

  /** The sessions that the reporter told of: they count as active until now, as it cannot be known. */
  #toldBy(reporterId: string): Seen[] {
    const told = [...this.#seen.values()].filter(({ reporters }) => reporters.has(reporterId));
    for (const seen of told) seen.lastActiveMs = this.#options.clock.now();
    return told;
  }

  #leave(connectionId: string, seen: Seen): void {
    const users = this.#usersOf.get(connectionId);
    users?.delete(seen);
    if (users?.size === 0) this.#usersOf.delete(connectionId);
  }

  #isLive(sessionId: string): boolean {
    const record = this.#options.ledger.bySession(sessionId);
    return record !== undefined && Object.hasOwn(record.sessions, sessionId);
  }

  /** undefined for a session that is not live: nothing is kept of what nobody knows. */
  #touch(sessionId: string, atMs: number): Seen | undefined {
    const { ledger, clock, sessionTtlMs } = this.#options;
    const record = ledger.bySession(sessionId);
    const session = record?.sessions[sessionId];
    if (!record || !session) return undefined;
    const seen = this.#seen.get(sessionId) ?? newlySeen(session.createdAtMs < this.#startedMs);
    this.#seen.set(sessionId, seen);
    // A reporter's clock may be ahead of ours.
    const lastActiveMs = Math.max(seen.lastActiveMs, Math.min(atMs, clock.now()));
    seen.lastActiveMs = lastActiveMs;
    if (lastActiveMs - session.lastActiveMs >= sessionTtlMs * RECORD_LAG) {
      ledger.updateLazily(record.uid, (current) => {
        const held = current.sessions[sessionId];
        if (!held) return current;
        const sessions = { ...current.sessions, [sessionId]: { ...held, lastActiveMs } };
        return { ...current, sessions };
      });
    }
    return seen;
  }
}

/** `isOld`: it may have connections from before anybody told of them. */
function newlySeen(isOld: boolean): Seen {
  return {
    lastActiveMs: 0,
    streams: new Set(),
    reporters: new Set(),
    connections: new Set(isOld ? [UNKNOWN_CONNECTION] : []),
    disconnectedAtMs: undefined,
    isAnswered: false,
  };
}
