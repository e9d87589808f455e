/**
 * The leader's answer to "which driver does this session belong to": the one it has; else a hot one;
 * else any with room; else the next one that comes up. The record is written before the first answer.
 */
import type { Logger } from 'pino';
import type { AssignRequest, Assigner, Assignment } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import { withSession } from '../model/driver-record.js';
import { hostPort, type DriverRecord } from '../model/driver.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import { clusterName } from '../model/names.js';
import type { Policy } from '../model/policy.js';
import type { Observations, PoolStatusSource } from '../model/pool.js';
import { samePrincipal, type Principal } from '../model/principal.js';
import { cancelled, namespaceWithoutPool, notLeading, userIdChanged } from '../model/refusals.js';
import { recent } from '../lib/recent.js';
import type { ActivityTable } from './activity.js';
import { Attempt } from './assignment-attempt.js';
import {
  isFull,
  isSameDriver,
  mayShare,
  MAX_RECORD_ENTRIES,
  nearest,
  openDrivers,
  acceptable,
  chooseCanary,
  isOver,
} from './eligibility.js';
import { SessionLimits } from './session-limits.js';
import * as refusals from './session-refusals.js';
import { StartEstimate, type WaitingRoom } from './waiting-room.js';

/** How often waiting sessions are looked at when nothing is heard: a driver's readiness is no record change. */
const LOOK_AGAIN_MS = 1000;
/** How long after its time to come back a session still counts as demand. */
const RETURN_GRACE_MS = 30_000;
const MAX_WAITING_PER_NAMESPACE = 2000;
const MAX_GIVEN_UP = 10_000;

export interface SessionAssignerOptions {
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  readonly observations: Observations;
  readonly policy: () => Policy;
  readonly poolStatus: PoolStatusSource;
  readonly waitingRoom: WaitingRoom;
  /** Told that a session is in use when it is asked for; knows since when the others are not. */
  readonly activity: Pick<ActivityTable, 'activity' | 'hasOpenStream' | 'lastActiveMs'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a sidecar that is cut off may go on using an assignment. */
  readonly cacheTtlMs: number;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export class SessionAssigner implements Assigner {
  readonly #o: SessionAssignerOptions;
  /** Sessions that wait for a driver, by id. */
  readonly #attempts = new Map<string, Attempt>();
  /** Whose clients went away while they waited: the newest. */
  readonly #givenUp = recent<string, Principal>(MAX_GIVEN_UP);
  readonly #estimate = new StartEstimate();
  readonly #limits: SessionLimits;
  readonly #serving = new Set<string>();
  /** Namespaces that are served when what has come meanwhile has been read. */
  readonly #servedSoon = new Set<string>();
  #looking = false;

  constructor(options: SessionAssignerOptions) {
    this.#o = options;
    this.#limits = new SessionLimits(options);
    for (const record of options.ledger.all()) this.#estimate.observe(record);
    options.ledger.onChange((uid) => {
      const record = options.ledger.get(uid);
      if (!record) return;
      this.#estimate.observe(record);
      this.#serve(record.namespace);
    });
  }

  async assign(request: AssignRequest, signal: AbortSignal): Promise<Assignment> {
    const { sessionId, cloneOf } = request;
    if (signal.aborted) throw cancelled();
    if (!UUID.test(sessionId)) throw refusals.sessionIdUnreadable();
    if (this.#o.leadership.epoch() === undefined) throw notLeading();
    if (this.#o.ledger.bySession(sessionId)) return this.#answer(request);
    if (cloneOf !== undefined) return this.#clone(request, cloneOf);
    if (!request.mayCreate || this.#isOver(request)) throw refusals.sessionUnknown();
    const attempt = this.#attempts.get(sessionId) ?? this.#begin(request);
    if (!samePrincipal(attempt.request.principal, request.principal)) {
      throw refusals.sessionOfAnother();
    }
    if (attempt.request.userId !== request.userId) throw userIdChanged();
    if (attempt.request.namespace !== request.namespace) {
      throw refusals.sessionElsewhere(attempt.request.namespace, request.namespace);
    }
    return this.#wait(attempt, request.holdMs, signal);
  }

  /** Whether its client has given up waiting for a driver, and this is no sign that it begins again. */
  #isOver({ sessionId, principal, incidental }: AssignRequest): boolean {
    if (!incidental || this.#attempts.has(sessionId)) return false;
    const given = this.#givenUp.get(sessionId);
    return given !== undefined && samePrincipal(given, principal);
  }

  /** The answer for a session that has a record, once that record is durable. */
  async #answer(request: AssignRequest): Promise<Assignment> {
    const record = await this.#durable(request.sessionId, request);
    if (request.cloneOf !== undefined) {
      const source = await this.#durable(request.cloneOf, request);
      if (source.uid !== record.uid) throw refusals.cloneElsewhere();
    }
    const { sessionId, principal, namespace } = request;
    const session = record.sessions[sessionId];
    const seen = this.#o.observations.get(record.uid);
    if (!session || !seen || !isSameDriver(record, seen) || record.address === '') {
      throw refusals.driverUnreachable();
    }
    this.#o.activity.activity([{ sessionId, atMs: this.#o.clock.now(), released: false }]);
    return {
      sessionId,
      principal,
      userId: session.userId,
      driverUid: record.uid,
      cluster: clusterName(namespace),
      address: hostPort(record.address, record.port),
      driverToken: seen.token,
      team: session.team,
      environment: session.environment,
      namespace,
      cacheTtlMs: this.#o.cacheTtlMs,
    };
  }

  /** The durable record of a live session of the caller's. Throws what the caller is to be told otherwise. */
  async #durable(
    sessionId: string,
    caller: Pick<AssignRequest, 'principal' | 'userId' | 'namespace'>,
  ): Promise<DriverRecord> {
    const found = this.#o.ledger.bySession(sessionId);
    if (!found) throw refusals.sessionUnknown();
    await this.#o.ledger.update(found.uid, (record) => record);
    const record = this.#o.ledger.bySession(sessionId);
    // Its change was taken back meanwhile: whoever made it is told so, this caller asks again.
    if (!record) throw refusals.notStoredInTime();
    const session = record.sessions[sessionId];
    const owner = session?.principal ?? record.tombstones[sessionId]?.principal;
    if (!owner || !samePrincipal(owner, caller.principal)) throw refusals.sessionOfAnother();
    if (!session) {
      const end = record.tombstones[sessionId]?.end ?? 'driver_gone';
      throw refusals.sessionEnded(end, record.phase === 'gone' ? record.reason : undefined);
    }
    if (session.userId !== caller.userId) throw userIdChanged();
    if (record.namespace !== caller.namespace) {
      throw refusals.sessionElsewhere(record.namespace, caller.namespace);
    }
    return record;
  }

  /**
   * Pins a new session to the driver of the one that it is a clone of. It has the same owner and
   * shares the same memory by its nature, so it may go over `sessionsPerDriver`, also on a draining
   * driver; it counts for quotas, and takes up room for others.
   */
  async #clone(request: AssignRequest, cloneOf: string): Promise<Assignment> {
    const source = await this.#durable(cloneOf, request);
    if (this.#o.ledger.bySession(request.sessionId)) return this.#answer(request);
    if (this.#attempts.has(request.sessionId)) throw refusals.cloneElsewhere();
    if (isFull(source)) throw refusals.driverFull(MAX_RECORD_ENTRIES);
    const refusal = this.#limits.overQuota(request) ?? this.#limits.overRate(request);
    if (refusal) throw refusal;
    return this.#pin(source.uid, request);
  }

  /** Pins the session in memory at once, and answers once that is durable. */
  async #pin(uid: string, request: AssignRequest): Promise<Assignment> {
    const { sessionId, principal, userId, team, environment } = request;
    const nowMs = this.#o.clock.now();
    const times = { createdAtMs: nowMs, lastActiveMs: nowMs };
    const session = { sessionId, principal, userId, team, environment, ...times };
    const { variant } = await this.#o.ledger.update(uid, (record) =>
      withSession(record, session, nowMs),
    );
    const about = { session: sessionId, driver: uid, variant, team, environment };
    this.#o.logger.info(about, 'session assigned');
    return this.#answer(request);
  }

  /** Puts a new session in line, and gives it a driver at once if there is one. */
  #begin(request: AssignRequest): Attempt {
    const { namespace } = request;
    const policy = this.#o.policy();
    const pool = policy.pool(namespace);
    if (!pool) throw namespaceWithoutPool(namespace);
    const waiting = this.#o.waitingRoom.places(namespace).length;
    if (waiting >= MAX_WAITING_PER_NAMESPACE) throw refusals.tooManyWaiting(namespace, waiting);
    // One that was told to come back was counted when it came first.
    const comesBack = this.#o.waitingRoom.expects(request.sessionId);
    const refusal =
      this.#limits.overQuota(request) ?? (comesBack ? undefined : this.#limits.overRate(request));
    if (refusal) throw refusal;
    const canary = chooseCanary(pool, request);
    const variant = canary?.whenNoneIsReady === 'wait' ? canary.variant : undefined;
    const place = this.#o.waitingRoom.enter(request.sessionId, { namespace, variant });
    const { version } = policy;
    const attempt = new Attempt(request, place, canary?.variant, version, this.#o.clock);
    this.#attempts.set(request.sessionId, attempt);
    this.#givenUp.delete(request.sessionId);
    this.#serveSoon(namespace);
    this.#lookAgainLater();
    return attempt;
  }

  #wait(attempt: Attempt, holdMs: number, signal: AbortSignal): Promise<Assignment> {
    return attempt.join(holdMs, signal, {
      heldOut: (last) => {
        const { namespace, variant } = attempt.place;
        const records = [...this.#o.ledger.byNamespace(namespace)].filter(
          (record) => record.variant === variant,
        );
        const startingMs = this.#estimate.remainingMs(namespace, records, this.#o.clock.now());
        const status = this.#o.poolStatus.status(attempt.place);
        const full = records.filter(isFull).length;
        const refusal =
          full > 0 && status.warming === 0
            ? refusals.driversFull(namespace, full, MAX_RECORD_ENTRIES)
            : refusals.noDriverYet(
                namespace,
                status,
                startingMs,
                this.#limits.ownSessions(attempt.request),
              );
        if (last) {
          this.#attempts.delete(attempt.request.sessionId);
          const forMs = (refusal.retryAfterMs ?? 0) + RETURN_GRACE_MS;
          this.#o.waitingRoom.leaveToReturn(attempt.place, forMs);
        }
        return refusal;
      },
      abandoned: () => {
        const { sessionId, principal } = attempt.request;
        this.#attempts.delete(sessionId);
        this.#givenUp.set(sessionId, principal);
        this.#o.waitingRoom.leave(attempt.place);
      },
    });
  }

  /** Sessions that begin at once are served together: each look at a namespace is one at all of its drivers. */
  #serveSoon(namespace: string): void {
    if (this.#servedSoon.size === 0) {
      setImmediate(() => {
        const namespaces = [...this.#servedSoon];
        this.#servedSoon.clear();
        for (const each of namespaces) this.#serve(each);
      });
    }
    this.#servedSoon.add(namespace);
  }

  /** Gives the namespace's open drivers to those who wait, in their order. */
  #serve(namespace: string): void {
    const { ledger, observations, waitingRoom } = this.#o;
    // The changes that this very loop makes are not heard: it looks again by itself.
    if (this.#serving.has(namespace) || waitingRoom.places(namespace).length === 0) return;
    const policy = this.#o.policy();
    const pool = policy.pool(namespace);
    if (!pool) return this.#turnAway(namespace);
    this.#serving.add(namespace);
    const look = () => openDrivers(ledger.byNamespace(namespace), observations, pool);
    try {
      let open: readonly DriverRecord[] | undefined;
      for (const { sessionId } of waitingRoom.places(namespace)) {
        const attempt = this.#attempts.get(sessionId);
        if (!attempt) continue;
        if (attempt.policyVersion !== policy.version) {
          this.#askAgain(attempt);
          continue;
        }
        if (isOver(attempt.place, pool, this.#o.poolStatus)) {
          const { variant } = attempt.place;
          this.#o.logger.warn({ session: sessionId, namespace, variant }, 'canary given up');
          attempt.place = waitingRoom.withoutVariant(attempt.place);
        }
        const { principal } = attempt.request;
        open ??= look();
        const candidates = acceptable(open, attempt).filter((d) =>
          mayShare(d, attempt.request, pool.sharing, observations.get(d.uid)?.fenced === true),
        );
        const driver = nearest(candidates, principal, (session) =>
          this.#o.activity.lastActiveMs(session),
        );
        if (!driver) continue;
        const refusal = this.#limits.overQuota(attempt.request);
        attempt.grant(refusal ? Promise.reject(refusal) : this.#pin(driver.uid, attempt.request));
        this.#attempts.delete(sessionId);
        waitingRoom.leave(attempt.place);
        const others = open.filter(({ uid }) => uid !== driver.uid);
        const now = ledger.get(driver.uid);
        open = now ? [...others, ...openDrivers([now], observations, pool)] : others;
      }
    } finally {
      this.#serving.delete(namespace);
      waitingRoom.waits(namespace);
    }
  }

  /**
   * A sidecar let it in by a policy that is no longer in force, and only sidecars know by what claims:
   * its client comes back, keeps its place, and is let in anew or refused.
   */
  #askAgain(attempt: Attempt): void {
    const refusal = refusals.policyChanged();
    attempt.grant(Promise.reject(refusal));
    this.#attempts.delete(attempt.request.sessionId);
    this.#o.waitingRoom.leaveToReturn(attempt.place, (refusal.retryAfterMs ?? 0) + RETURN_GRACE_MS);
  }

  /** The policy has taken the pool away. */
  #turnAway(namespace: string): void {
    const { waitingRoom } = this.#o;
    for (const place of waitingRoom.places(namespace)) {
      this.#attempts.get(place.sessionId)?.grant(Promise.reject(namespaceWithoutPool(namespace)));
      this.#attempts.delete(place.sessionId);
      waitingRoom.leave(place);
    }
  }

  #lookAgainLater(): void {
    if (this.#looking || this.#attempts.size === 0) return;
    this.#looking = true;
    this.#o.clock.setTimer(LOOK_AGAIN_MS, () => {
      this.#looking = false;
      for (const namespace of this.#o.waitingRoom.occupied()) this.#serve(namespace);
      this.#lookAgainLater();
    });
  }
}
