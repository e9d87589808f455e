/** What operators do, done by the leader. */
import type { Logger } from 'pino';
import type { DriverOutcome, Operations, SessionOutcome } from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import type { DriverRecord } from '../model/driver.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import type { Ledger } from '../model/ledger.js';
import type { Principal } from '../model/principal.js';
import type { PoolController } from '../pools/controller.js';
import type { SessionExpiry } from '../sessions/expiry.js';
import type { Records } from './records.js';

export interface LeaderOperationsOptions {
  readonly ledger: Ledger;
  readonly pools: Pick<PoolController, 'drain'>;
  readonly sessions: Pick<SessionExpiry, 'end'>;
  readonly records: Pick<Records, 'askDrain'>;
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
    if (phase === 'gone' || phase === 'expired') return;
    const { records, pools } = this.#o;
    try {
      await records.askDrain?.(driverUid, deadlineMs);
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        `The gateway cannot store what you ask: ${reasonOf(error)}. Try again in a moment.`,
        { cause: error, retryAfterMs: 2_000 },
      );
    }
    await pools.drain(driverUid, deadlineMs);
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
