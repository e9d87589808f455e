/**
 * The end of sessions: stopped by their client, idle for a TTL, or ended by an operator. A tombstone
 * is written first, so that no new request gets through, then the driver is told to let go.
 */
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import {
  hostPort,
  type DriverRecord,
  type SessionEnd,
  type SessionRecord,
} from '../model/driver.js';
import {
  withFewerTombstones,
  withoutOldTombstones,
  withoutSession,
} from '../model/driver-record.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import type { Observations } from '../model/pool.js';
import { ActivityTable } from './activity.js';
import { isSameDriver, MAX_RECORD_ENTRIES } from './eligibility.js';

/** One session in its driver, for SparkConnect. */
export interface SessionAddress {
  /** `ip:port`. */
  readonly address: string;
  readonly token: string | undefined;
  readonly sessionId: string;
  readonly userId: string;
}

/**
 * What a driver says of a session, whose streaming queries run as others do: `unsupported` for a driver
 * too old to be asked about the others, `unreachable` for any doubt.
 */
export type SessionStatus = 'running' | 'idle' | 'unknown' | 'unsupported' | 'unreachable';

/** The calls that the gateway itself makes to drivers. Neither rejects. */
export interface SparkConnect {
  status(session: SessionAddress): Promise<SessionStatus>;
  /** Whether the driver confirmed that the session is gone. */
  release(session: SessionAddress): Promise<boolean>;
}

export interface SessionExpiryOptions {
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  readonly observations: Observations;
  readonly sparkConnect: SparkConnect;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly sessionTtlMs: number;
  /** As in PoolPolicy, for a namespace. Default: none has one. */
  readonly disconnectedTtlMs?: (namespace: string) => number | undefined;
  /** How long an ended session is remembered, at least for a session TTL, where a driver has not too many. */
  readonly tombstoneTtlMs: number;
}

/**
 * How long after a sidecar let a ReleaseSession through the session ends, unless the driver's answer
 * is heard first (Envoy tells of it within a second). When the driver cannot be reached, PySpark tries
 * again after 4.3 s and then after 17 s: the first of these is to hear that the session has ended.
 */
const RELEASE_GRACE_MS = 2000;
const MAXIMUM_SWEEP_MS = 30_000;
const DRIVERS_ASKED_AT_ONCE = 8;

export class SessionExpiry {
  /** Where reporters tell what they saw. */
  readonly activity: ActivityTable;
  readonly #o: SessionExpiryOptions;
  readonly #ending = new Map<string, Timer>();
  #timer: Timer | undefined;
  #stopped = true;

  constructor(options: SessionExpiryOptions) {
    this.#o = options;
    const { ledger, clock, sessionTtlMs } = options;
    const onRelease = (sessionId: string, sure: boolean) => this.#released(sessionId, sure);
    const onClosed = (sessionId: string) => {
      const end = this.#ending.has(sessionId) ? 'released' : 'expired';
      this.#endSurely(sessionId, end, false);
    };
    this.activity = new ActivityTable({ ledger, clock, sessionTtlMs, onRelease, onClosed });
  }

  start(): void {
    this.#stopped = false;
    this.#sweepLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const timer of this.#ending.values()) timer.cancel();
    this.#ending.clear();
  }

  /**
   * Ends a session now, whatever it is doing. Resolves when the tombstone is durable; false when
   * there is no such live session. The driver is told afterwards.
   */
  end(sessionId: string, end: SessionEnd): Promise<boolean> {
    return this.#end(sessionId, end, true);
  }

  async #end(sessionId: string, end: SessionEnd, tellDriver: boolean): Promise<boolean> {
    const { ledger, clock, logger } = this.#o;
    const record = ledger.bySession(sessionId);
    const session = record?.sessions[sessionId];
    if (!record || !session) return false;
    const address = this.#addressOf(record, session);
    await ledger.update(record.uid, (current) =>
      withoutSession(current, sessionId, end, clock.now()),
    );
    this.#ending.get(sessionId)?.cancel();
    this.#ending.delete(sessionId);
    logger.info({ session: sessionId, driver: record.uid, end }, 'session ended');
    if (address && tellDriver) void this.#o.sparkConnect.release(address);
    return true;
  }

  /** Ends what has been idle for a TTL and drops tombstones that are old enough. */
  async sweep(): Promise<void> {
    if (this.#o.leadership.epoch() === undefined) return;
    this.activity.prune();
    await this.#pruneTombstones();
    const idle = this.#idleSessions();
    const next = async (): Promise<void> => {
      for (let found = idle.pop(); found !== undefined; found = idle.pop()) {
        await this.#expire(found);
      }
    };
    await Promise.all(Array.from({ length: DRIVERS_ASKED_AT_ONCE }, next));
  }

  #sweepLater(): void {
    if (this.#stopped) return;
    const delayMs = Math.min(MAXIMUM_SWEEP_MS, this.#o.sessionTtlMs / 20);
    this.#timer = this.#o.clock.setTimer(delayMs, () => {
      this.sweep()
        .catch((error: unknown) => this.#o.logger.warn({ err: error }, 'expiry was interrupted'))
        .finally(() => this.#sweepLater());
    });
  }

  #idleSessions(): string[] {
    return Array.from(this.#o.ledger.all()).flatMap((record) =>
      Object.values(record.sessions)
        .filter((session) => this.#isIdle(session, record.namespace))
        .map((session) => session.sessionId),
    );
  }

  #isIdle(session: SessionRecord, namespace: string): boolean {
    if (this.activity.hasOpenStream(session.sessionId)) return false;
    const nowMs = this.#o.clock.now();
    const lastActiveMs = this.activity.lastActiveMs(session);
    const ttlMs = this.#o.disconnectedTtlMs?.(namespace);
    const leftMs = this.activity.disconnectedAtMs(session.sessionId);
    if (ttlMs !== undefined && leftMs !== undefined) {
      if (nowMs >= Math.max(lastActiveMs, leftMs) + ttlMs) return true;
    }
    return nowMs >= this.activity.quietUntilMs && nowMs >= lastActiveMs + this.#o.sessionTtlMs;
  }

  async #expire(sessionId: string): Promise<void> {
    const { ledger, logger } = this.#o;
    const before = ledger.bySession(sessionId);
    const session = before?.sessions[sessionId];
    if (!before || !session) return;
    const address = this.#addressOf(before, session);
    const status = address ? await this.#o.sparkConnect.status(address) : 'unreachable';
    if (status === 'running') this.activity.touch(sessionId);
    if (status === 'unreachable') {
      logger.warn({ session: sessionId, driver: before.uid }, 'idle session kept: no answer');
    }
    const now = ledger.bySession(sessionId)?.sessions[sessionId];
    if (
      status === 'running' ||
      status === 'unreachable' ||
      !now ||
      !this.#isIdle(now, before.namespace)
    )
      return;
    try {
      await this.end(sessionId, 'expired');
    } catch (error) {
      logger.warn({ err: error, session: sessionId }, 'idle session kept: not stored');
    }
  }

  #released(sessionId: string, sure: boolean): void {
    // A driver that confirmed the release need not be told.
    if (sure) this.#endSurely(sessionId, 'released', false);
    else this.#endLater(sessionId, () => this.#endSurely(sessionId, 'released', true));
  }

  /** Now, or as soon as that can be stored. */
  #endSurely(sessionId: string, end: SessionEnd, tellDriver: boolean): void {
    this.#ending.delete(sessionId);
    this.#end(sessionId, end, tellDriver).catch((error: unknown) => {
      this.#o.logger.warn({ err: error, session: sessionId, end }, 'session not ended yet');
      this.#endLater(sessionId, () => this.#endSurely(sessionId, end, tellDriver));
    });
  }

  #endLater(sessionId: string, endNow: () => void): void {
    if (this.#stopped || this.#ending.has(sessionId)) return;
    this.#ending.set(sessionId, this.#o.clock.setTimer(RELEASE_GRACE_MS, endNow));
  }

  async #pruneTombstones(): Promise<void> {
    const { ledger, clock, logger, tombstoneTtlMs, sessionTtlMs } = this.#o;
    const nowMs = clock.now();
    // A driver in long use would be full of the memory of its sessions: some is kept for a TTL only.
    const prune = (record: DriverRecord) =>
      withFewerTombstones(
        withoutOldTombstones(record, nowMs, tombstoneTtlMs),
        nowMs,
        sessionTtlMs,
        MAX_RECORD_ENTRIES / 2,
      );
    const old = Array.from(ledger.all()).filter((record) => prune(record) !== record);
    // Only an end that is stored may be forgotten: until then the store shows the session as alive.
    const forget = async ({ uid }: DriverRecord) => {
      await ledger.update(uid, (record) => record);
      await ledger.update(uid, prune);
    };
    const results = await Promise.allSettled(old.map(forget));
    const failed = results.filter((result) => result.status === 'rejected').length;
    if (failed > 0) logger.warn({ failed }, 'old tombstones are kept: not stored');
  }

  /** undefined when it is in doubt which driver answers there, or with which token. */
  #addressOf(record: DriverRecord, session: SessionRecord): SessionAddress | undefined {
    const seen = this.#o.observations.get(record.uid);
    if (!seen || !isSameDriver(record, seen) || record.address === '') return undefined;
    return {
      address: hostPort(record.address, record.port),
      token: seen.token,
      sessionId: session.sessionId,
      userId: session.userId,
    };
  }
}
