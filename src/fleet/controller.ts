/**
 * Keeps pools as their policy wants them. Level-triggered: whatever happens only says that it is
 * time to look; each pass reads everything, decides by `planFleet` and applies the decision.
 */
import type { Logger } from 'pino';
import { Backoff, type Clock } from '../model/clock.js';
import type {
  DriverRecord,
  ObservedDriver,
  RequestedDriver,
  DriverFactory,
  DriverSource,
  SessionRecord,
} from '../model/driver.js';
import { reasonOf, retryAfterOf } from '../model/errors.js';
import type { FleetProblem, ProblemSource } from '../model/fleet-problem.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import type { PoolPolicy, Policy } from '../model/policy.js';
import {
  type Observations,
  poolAt,
  poolKey,
  type PoolName,
  type PoolStatus,
  type PoolStatusSource,
  variantPool,
  type EnvoyFleet,
  type SidecarCaches,
  type DemandSource,
} from '../model/pool.js';
import type { FleetReport } from '../model/reports.js';
import { type Applied, applyPlan, PendingWrites } from './apply-plan.js';
import { drain, undrain } from './drain.js';
import { DriverOrders } from './driver-orders.js';
import { FleetMemory } from './fleet-memory.js';
import { planFleet, type FleetPlan } from './fleet-plan.js';
import { poolProblems, fleetReport } from './fleet-report.js';
import { Deadlines, RecordShapes } from './lifecycle.js';
import { Passes } from './passes.js';
import { followedPools, NOTHING_PLANNED, type Planned } from './pool-counts.js';
import { Publication, routing } from './routing.js';
import { checkSightings, unread, type Sightings } from './sightings.js';

/** After a pass the next one waits for this many times as long as it took: passes take a third of a core at most. */
const REST_FACTOR = 2;
const LONGEST_REST_MS = 1_000;
/**
 * Within which time it is looked at which drivers came into use: what follows from that takes a new driver's
 * start, and sessions that begin at the same time wait for the same core.
 */
const TAKEN_MS = 250;
/** A pass is made at least this often, whatever was missed. */
const RESYNC_MS = 30_000;
/** After a read or a write that failed. */
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 8_000;

export class PoolController implements Observations, PoolStatusSource, ProblemSource {
  readonly #options: PoolControllerOptions;
  readonly #orders: DriverOrders;
  readonly #writes: PendingWrites;
  readonly #passes: Passes;
  readonly #publication: Publication;
  readonly #memory = new FleetMemory();
  readonly #retry = new Backoff(RETRY_MS, LONGEST_RETRY_MS);
  readonly #writeRetry = new Backoff(RETRY_MS, LONGEST_RETRY_MS);
  readonly #shapes = new RecordShapes();
  readonly #stops: (() => void)[] = [];
  readonly #lookListeners = new Set<(epoch: number | undefined) => void>();
  #sightings: Sightings = { drivers: new Map(), doubtful: new Set(), problems: [] };
  #planned: Planned = NOTHING_PLANNED;
  /** Names of drivers whose template has changed since. */
  #outdated: ReadonlySet<string> = new Set();
  #epoch: number | undefined;
  #tookOverAtMs: number;
  #lastReadMs: number | undefined;
  #readError: string | undefined;
  #writeError: string | undefined;
  #applying = false;
  #stopped = false;

  constructor(options: PoolControllerOptions) {
    const { clock, fleet } = options;
    this.#options = options;
    this.#tookOverAtMs = clock.now();
    this.#publication = new Publication(fleet, clock);
    const again = () => this.trigger();
    this.#passes = new Passes(clock, () => this.#reconcile());
    this.#orders = new DriverOrders({ ...options, onEnd: again });
    this.#writes = new PendingWrites({
      onSettled: (error) => this.#written(error),
      onEnd: again,
    });
  }

  /**
   * Publishes the drivers that the records hold, so that Envoys keep them while discovery is read
   * for the first time, and begins to reconcile.
   */
  start(): void {
    const { sources, ledger, demand, fleet, caches } = this.#options;
    this.#publishRecorded(() => undefined);
    for (const record of ledger.all()) this.#shapes.note(record);
    const trigger = () => this.trigger();
    this.#stops.push(
      ...sources.map((source) => source.watch(trigger)),
      ledger.onChange((uid) => this.#recordChanged(uid)),
      demand.onChange(trigger),
      fleet.onChange(trigger),
      caches.onChange(trigger),
    );
    this.trigger();
  }

  /**
   * Calls back after each look at everything: with the epoch under which it was, undefined for a
   * follower's. From then on Envoy is told of what the records and discovery show together.
   */
  onLook(listener: (epoch: number | undefined) => void): () => void {
    this.#lookListeners.add(listener);
    return () => this.#lookListeners.delete(listener);
  }

  /** Ends the reconciliation. Drivers live on. Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const stop of this.#stops.splice(0)) stop();
    await this.#passes.stop();
    await Promise.all([this.#writes.idle(), this.#orders.stop()]);
  }

  /** Says that it is time to look. */
  trigger(): void {
    this.#passes.trigger();
  }

  get(uid: string): ObservedDriver | undefined {
    return this.#sightings.drivers.get(uid);
  }

  status(pool: PoolName): PoolStatus {
    const count = this.#planned.pools.get(poolKey(pool));
    const failures = this.#orders.failures.get(poolKey(pool));
    const retryInMs = failures && Math.max(0, failures.retryAtMs - this.#options.clock.now());
    return {
      drivers: count?.drivers ?? 0,
      maximum: this.#pool(pool)?.maximum ?? count?.maximum ?? 0,
      warming: count?.warming ?? 0,
      failure: failures?.reason,
      retryInMs,
    };
  }

  report(): FleetReport {
    const { ledger, demand } = this.#options;
    return fleetReport({
      records: [...ledger.all()],
      pools: [...this.#planned.pools.values()],
      observed: (uid) => this.get(uid),
      routable: (uid) => this.#publication.sinceMs(uid) !== undefined,
      outdated: (resource) => this.#outdated.has(resource),
      pool: (pool) => this.#pool(pool),
      waiting: (pool) => demand.waiting(pool),
      status: (pool) => this.status(pool),
      lastReadMs: this.#lastReadMs,
      readError: this.#readError,
      writeError: this.#writeError,
    });
  }

  problems(): readonly FleetProblem[] {
    return poolProblems({
      ...this.#planned,
      sightings: this.#sightings,
      failures: this.#orders.failures,
      readError: this.#readError,
      writeError: this.#writeError,
    });
  }

  /** As `drain` of drain.ts does. */
  drain(uid: string, deadlineMs: number | undefined): Promise<void> {
    return drain(this.#options, uid, deadlineMs);
  }

  /** As `undrain` of drain.ts does. */
  undrain(uid: string): Promise<void> {
    return undrain(this.#options, uid);
  }

  /** As the policy has it now. */
  #pool(
    { namespace, variant }: PoolName,
    inForce = this.#options.policy(),
  ): PoolPolicy | undefined {
    const pool = inForce.pool(namespace);
    return pool && variantPool(poolAt(pool, this.#options.clock.now()), variant);
  }

  async #reconcile(): Promise<void> {
    const { sources, factory, clock, log } = this.#options;
    this.#passes.wakeAt(clock.now() + RESYNC_MS);
    try {
      const drop = this.#orders.beforeList();
      // Requests first: a driver that comes up in between is then seen as a driver.
      const requested = (await factory?.list()) ?? [];
      const observed = (await Promise.all(sources.map((source) => source.list()))).flat();
      if (this.#stopped) return;
      drop();
      if (this.#readError !== undefined) log.info('discovery can be read again');
      this.#readError = undefined;
      this.#retry.reset();
      this.#lastReadMs = clock.now();
      this.#see(observed);
      this.#decide(requested);
      const tookMs = clock.now() - this.#lastReadMs;
      this.#passes.rest(Math.min(LONGEST_REST_MS, REST_FACTOR * tookMs));
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#readError !== reason) log.error({ err: error }, 'reconciling the pools failed');
      this.#readError = reason;
      this.#passes.wakeAt(clock.now() + this.#retry.next(retryAfterOf(error)));
    }
  }

  /** A record that went back to what it was is itself a reason to look: not at once, or it would go on and on. */
  #written(error: unknown): void {
    this.#writeError = error === undefined ? undefined : reasonOf(error);
    if (error === undefined) {
      this.#writeRetry.reset();
      return;
    }
    this.#passes.rest(this.#writeRetry.next(retryAfterOf(error)));
    this.#passes.trigger();
  }

  #see(observed: readonly ObservedDriver[]): void {
    const { clock, ledger, log, sources } = this.#options;
    const previous = new Set(this.#sightings.problems.map(({ message }) => message));
    this.#sightings = checkSightings(observed, unread(ledger.all(), observed, sources));
    for (const { message } of this.#sightings.problems) {
      if (!previous.has(message)) log.warn(message);
    }
    this.#memory.note(this.#sightings, ledger, clock.now());
  }

  /** Plans and applies in one synchronous step. What is to be deleted waits until its record is durable. */
  #decide(requested: readonly RequestedDriver[]): void {
    this.#outdated = new Set(
      requested.flatMap(({ resource, outdated = false }) => (outdated ? [resource] : [])),
    );
    const { ledger, demand, fleet, leadership, clock, log, policy, factory } = this.#options;
    const epoch = leadership.epoch();
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#tookOverAtMs = clock.now();
      this.#orders.newTerm();
      this.#memory.newTerm();
    }
    const inForce = policy();
    const pools = {
      requested,
      namespaces: [...inForce.warmNamespaces, ...demand.namespaces()],
      pool: (pool: PoolName) => this.#pool(pool, inForce),
    };
    if (epoch === undefined) {
      // A follower shows what the leader has recorded.
      this.#planned = followedPools(pools, this.#memory.known(ledger));
      this.#publishRecorded((uid) => this.get(uid));
      this.#writeError = undefined;
      this.#looked(undefined);
      return;
    }
    const deadlines = new Deadlines(clock.now());
    const records = new Map([...ledger.all()].map((record) => [record.uid, record]));
    const coming = [...requested, ...this.#orders.creating()];
    this.#memory.noteComing(coming, this.#sightings, records.values());
    this.#orders.noteLeft(requested, records.values());
    const plan = planFleet(
      {
        ...pools,
        records: records.values(),
        sightings: this.#sightings,
        creating: this.#orders.creating(),
        deleting: this.#orders.restingDeletions(),
        asked: this.#orders.acceptedDeletions(),
        awaited: this.#memory.awaited,
        remembered: (uid) => this.#memory.record(uid),
        failures: this.#orders.failures,
        waiting: (pool) => demand.waiting(pool),
        routedSinceMs: (uid) => this.#publication.sinceMs(uid),
        silentSinceMs: (uid) => this.#memory.silentSinceMs(uid),
        known: (uid) => fleet.knows(uid),
        holderOf: (driver) => fleet.holderOf(driver),
        forgotten: (gone) => this.#forgotten(gone, deadlines),
        isUnanswered: (session) => this.#options.isUnanswered?.(session) === true,
        canCreate: factory !== undefined,
        inDoubt: (namespace) => factory?.inDoubt?.(namespace) === true,
        template: (pool) => factory?.template?.(pool),
        notBeforeMs: (key) => this.#orders.notBeforeMs(key),
        tombstoneTtlMs: this.#options.tombstoneTtlMs,
        epoch,
      },
      deadlines,
    );
    this.#orders.failures = plan.failures;
    for (const [uid, reason] of plan.withheld) {
      if (this.#planned.withheld.get(uid) !== reason) log.warn({ uid }, reason);
    }
    this.#planned = plan;
    const { written, overtaken } = this.#apply(plan, records);
    this.#publish(plan.routable);
    for (const dueMs of [deadlines.nextMs, this.#orders.nextRetryMs()]) {
      if (dueMs !== undefined) this.#passes.wakeAt(dueMs);
    }
    for (const { count, ...pool } of plan.create) {
      for (let i = 0; i < count; i += 1) this.#orders.create(pool);
    }
    this.#writes.add(written);
    if (this.#writes.isIdle) this.#writeError = undefined;
    for (const resource of plan.delete) {
      const { resource: driver } = resource;
      if (!overtaken.has(driver) && !this.#writes.isPending(driver)) this.#orders.delete(resource);
    }
    this.#looked(epoch);
  }

  #looked(epoch: number | undefined): void {
    for (const listener of this.#lookListeners) listener(epoch);
  }

  #forgotten(gone: DriverRecord, deadlines: Deadlines): boolean {
    const { fleet, caches, addressQuietMs = 60_000 } = this.#options;
    return (
      fleet.hasForgotten(gone) &&
      caches.haveForgotten(gone.uid) &&
      deadlines.passed(this.#tookOverAtMs + addressQuietMs)
    );
  }

  /** What listeners do at it is looked at in the next pass. */
  #apply(plan: FleetPlan, planned: ReadonlyMap<string, DriverRecord>): Applied {
    const { ledger, log } = this.#options;
    this.#applying = true;
    let applied: Applied;
    try {
      applied = applyPlan(plan, planned, ledger, log);
    } finally {
      this.#applying = false;
    }
    for (const next of plan.records) this.#shapes.note(next);
    for (const uid of plan.forget) this.#shapes.forget(uid);
    if (applied.overtaken.size > 0) this.trigger();
    return applied;
  }

  #publishRecorded(observed: Observations['get']): void {
    const { ledger, fleet } = this.#options;
    this.#publish(
      routing(
        this.#memory.known(ledger),
        observed,
        () => false,
        (driver) => fleet.holderOf(driver),
      ).routable,
    );
  }

  #publish(routable: FleetPlan['routable']): void {
    if (this.#publication.publish(routable)) this.trigger();
  }

  #recordChanged(uid: string): void {
    if (this.#applying) return;
    const news = this.#shapes.newsOf(uid, this.#options.ledger.get(uid));
    if (news !== undefined) this.#passes.trigger(news === 'taken' ? TAKEN_MS : undefined);
  }
}

// What the pool controller works with.

export interface PoolControllerOptions {
  readonly sources: readonly DriverSource[];
  /** Absent where every driver is someone else's. */
  readonly factory?: DriverFactory;
  readonly ledger: Ledger;
  readonly demand: DemandSource;
  readonly fleet: EnvoyFleet;
  readonly caches: SidecarCaches;
  readonly leadership: Leadership;
  /** The policy in force now. Call `trigger` after it was replaced. */
  readonly policy: () => Policy;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long the end of a session is remembered. */
  readonly tombstoneTtlMs: number;
  /**
   * After this process took over, no address of a driver that is gone is given to another for this
   * long: Envoys and sidecars that have not come back yet may still remember it. At least the
   * longest time a sidecar may use a cached assignment. Default 60 s.
   */
  readonly addressQuietMs?: number;
  /** Whether no request of this session had an answer of its driver yet. Absent: every one had. */
  readonly isUnanswered?: (session: SessionRecord) => boolean;
  /** Names a new driver; a DNS label. Default `driver-` and 12 random characters. */
  readonly newResourceName?: (namespace: string) => string;
}
