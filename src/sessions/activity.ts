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
}

interface Seen {
  lastActiveMs: number;
  readonly streams: Set<string>;
  /** Who told of it, and might have told more while they were away. */
  readonly reporters: Set<string>;
  isAnswered: boolean;
}

export class ActivityTable implements ActivitySink {
  readonly #options: ActivityOptions;
  readonly #seen = new Map<string, Seen>();
  /** Reporters by id: since when they are away, or undefined while they are connected. */
  readonly #reporters = new Map<string, number | undefined>();
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

  answered(sessionId: string): void {
    const seen = this.#seen.get(sessionId);
    if (seen) seen.isAnswered = true;
    else if (this.#isLive(sessionId)) {
      this.#seen.set(sessionId, { ...newlySeen(), isAnswered: true });
    }
  }

  /** Whether no RPC of the session had an answer yet: surely not, of one that began before this process looked. */
  isUnanswered({ sessionId, createdAtMs }: SessionRecord): boolean {
    return createdAtMs >= this.#startedMs && this.#seen.get(sessionId)?.isAnswered !== true;
  }

  released(sessionId: string, atMs: number): void {
    if (this.#touch(sessionId, atMs)) this.#options.onRelease(sessionId, true);
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
    for (const sessionId of this.#seen.keys()) {
      if (!this.#isLive(sessionId)) this.#seen.delete(sessionId);
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
    const seen = this.#seen.get(sessionId) ?? newlySeen();
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

function newlySeen(): Seen {
  return { lastActiveMs: 0, streams: new Set(), reporters: new Set(), isAnswered: false };
}
