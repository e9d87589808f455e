import { pino } from 'pino';
import type { Policy, PoolPolicy } from '../../src/model/policy.js';
import type { DriverRecord } from '../../src/model/driver.js';
import type { Ledger } from '../../src/model/ledger.js';
import { poolKey, type DemandSource, type PoolName } from '../../src/model/pool.js';
import { withSession, withoutSession } from '../../src/model/driver-record.js';
import { PoolController, type PoolControllerOptions } from '../../src/fleet/controller.js';
import { openLedger, type StoredLedger } from '../../src/fleet/records/ledger.js';
import { alice, NAMESPACE, sessionRecord } from './driver-records.js';
import { FakeDrivers } from './fake-drivers.js';
import { FakeCaches, FakeFleet } from './fake-fleet.js';
import { TestLeadership } from './leadership.js';
import { ManualClock } from './manual-clock.js';
import { MemoryStore } from './memory-store.js';

export const POOL: PoolPolicy = {
  size: 2,
  maximum: 4,
  sessionsPerDriver: 1,
  sharing: 'principal',
  afterUse: 'replace',
  idleTtlMs: 600_000,
  startTimeoutMs: 300_000,
};

class FakeDemand implements DemandSource {
  readonly #waiting = new Map<string, number>();
  readonly #listeners = new Set<() => void>();

  /** `pool`: a namespace, or `namespace/variant`. */
  set(pool: string, count: number): void {
    if (count === 0) this.#waiting.delete(pool);
    else this.#waiting.set(pool, count);
    for (const listener of this.#listeners) listener();
  }

  waiting(pool: PoolName): number {
    return this.#waiting.get(poolKey(pool)) ?? 0;
  }

  namespaces(): Iterable<string> {
    return Array.from(this.#waiting.keys(), (key) => key.split('/')[0] ?? '');
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A pool controller among fakes, over the real ledger. */
export class PoolWorld {
  readonly clock = new ManualClock();
  readonly store = new MemoryStore();
  readonly leadership = new TestLeadership();
  readonly drivers = new FakeDrivers(this.clock);
  readonly demand = new FakeDemand();
  readonly caches = new FakeCaches();
  readonly pools = new Map<string, PoolPolicy>([[NAMESPACE, POOL]]);
  fleet = new FakeFleet();
  /** Makes the fleet of the next control plane. */
  newFleet = () => new FakeFleet();
  controller!: PoolController;
  ledger!: StoredLedger;
  #names = 0;

  /** Starts a control plane over what the store holds; call again for a restart. */
  async start(options: Partial<PoolControllerOptions> = {}): Promise<void> {
    await this.controller?.stop();
    const { clock, store, leadership } = this;
    const log = pino({ enabled: false });
    this.ledger = await openLedger({ store, leadership, clock, logger: log });
    this.fleet = this.newFleet();
    this.controller = new PoolController({
      sources: [this.drivers.source],
      factory: this.drivers.factory,
      ledger: this.#shownLedger(),
      demand: this.demand,
      fleet: this.fleet,
      caches: this.caches,
      leadership,
      policy: () => this.policy(),
      clock,
      log,
      tombstoneTtlMs: 1_800_000,
      newResourceName: () => `d${(this.#names += 1)}`,
      ...options,
    });
    this.controller.start();
    await this.pass();
  }

  /** Every record is gone from the store; this process sees it as a follower does. */
  async loseRecords(): Promise<void> {
    const { store, leadership, clock } = this;
    store.records.clear();
    this.ledger = await openLedger({ store, leadership, clock, logger: pino({ enabled: false }) });
  }

  /** The ledger of now. */
  #shownLedger(): Ledger {
    const { ledger } = this;
    return {
      get: (uid) => this.ledger.get(uid),
      all: () => this.ledger.all(),
      bySession: (id) => this.ledger.bySession(id),
      byNamespace: (namespace) => this.ledger.byNamespace(namespace),
      create: (record) => this.ledger.create(record),
      update: (uid, change) => this.ledger.update(uid, change),
      updateLazily: (uid, change) => this.ledger.updateLazily(uid, change),
      delete: (uid) => this.ledger.delete(uid),
      onChange: (listener) => ledger.onChange(listener),
    };
  }

  /** Lets the controller look, and look again at what it did. */
  async pass(ms = 100): Promise<void> {
    await this.clock.advance(ms);
  }

  /** Brings every starting driver up and lets the controller see it. */
  async allReady(): Promise<void> {
    await this.pass();
    this.drivers.allReady();
    await this.pass();
  }

  records(phase?: DriverRecord['phase']): DriverRecord[] {
    return [...this.ledger.all()].filter((r) => phase === undefined || r.phase === phase);
  }

  phaseOf(uid: string): string {
    return this.ledger.get(uid)?.phase ?? 'no record';
  }

  /** Gives a session to a driver, as the assigner does, and lets the controller look at that. */
  async assign(uid: string, sessionId: string, principal = alice): Promise<void> {
    await this.ledger.update(uid, (record) =>
      withSession(record, sessionRecord(sessionId, { principal }), this.clock.now()),
    );
    await this.pass(300);
  }

  async release(uid: string, sessionId: string): Promise<void> {
    await this.ledger.update(uid, (record) =>
      withoutSession(record, sessionId, 'released', this.clock.now()),
    );
    await this.pass();
  }

  policy(): Policy {
    return {
      ...unused,
      version: '1',
      leases: true,
      pool: (namespace) => this.pools.get(namespace),
      warmNamespaces: [...this.pools.keys()],
    };
  }
}

/** The parts of a policy that pools never ask. */
const unused = {
  issuers: [],
  target: () => never(),
  refuseUse: () => never(),
  refuseUserId: () => never(),
  service: () => never(),
  administration: () => never(),
  services: [],
  refuseConfig: () => never(),
  explain: () => never(),
  sourceNetwork: () => never(),
  quotas: () => never(),
};

function never(): never {
  throw new Error('pools do not ask this of a policy');
}
