/** What holds whatever happens to drivers, sessions, discovery, Envoys and the control plane. */
import test from 'ava';
import * as fc from 'fast-check';
import type { RoutableDriver } from '../../src/model/driver.js';
import type { PoolSchedule } from '../../src/model/policy.js';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { FakeFleet } from '../support/fake-fleet.js';
import { POOL, PoolWorld } from '../support/pool-world.js';
import { tries } from '../support/tries.js';

type Step =
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'demand'; readonly count: number }
  | { readonly do: 'size'; readonly count: number }
  | { readonly do: 'schedule'; readonly count: number; readonly maximum: number }
  | {
      readonly do:
        'ready' | 'not_ready' | 'end' | 'terminate' | 'vanish' | 'restart' | 'reuse address';
      readonly pick: number;
    }
  | { readonly do: 'assign' | 'release' | 'drain'; readonly pick: number }
  | {
      readonly do:
        | 'all ready'
        | 'new control plane'
        | 'unreadable'
        | 'readable'
        | 'refuse creation'
        | 'refuse deletion'
        | 'lose a write'
        | 'silent Envoys'
        | 'answering Envoys';
    };

const pick = fc.nat(9);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(100, 6_000, 61_000, 700_000) }),
  fc.record({ do: fc.constant('demand' as const), count: fc.nat(4) }),
  fc.record({ do: fc.constant('size' as const), count: fc.nat(3) }),
  fc.record({
    do: fc.constant('schedule' as const),
    count: fc.nat(3),
    maximum: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    do: fc.constantFrom(
      'ready' as const,
      'not_ready' as const,
      'end' as const,
      'terminate' as const,
      'vanish' as const,
      'restart' as const,
      'reuse address' as const,
    ),
    pick,
  }),
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('assign' as const, 'assign' as const, 'release' as const),
      pick,
    }),
  },
  fc.record({ do: fc.constant('drain' as const), pick }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'all ready' as const,
        'new control plane' as const,
        'unreadable' as const,
        'readable' as const,
        'refuse creation' as const,
        'refuse deletion' as const,
        'lose a write' as const,
        'silent Envoys' as const,
        'answering Envoys' as const,
      ),
    }),
  },
);

/** A fleet that objects when two drivers share an address, or one is given on too soon. */
class StrictFleet extends FakeFleet {
  readonly objections: string[];
  readonly #holders: Map<string, string>;

  constructor(
    objections: string[],
    holders = new Map<string, string>(),
    acknowledged: ReadonlySet<string> = new Set(),
  ) {
    super(acknowledged);
    this.objections = objections;
    this.#holders = holders;
  }

  override publish(drivers: readonly RoutableDriver[]): void {
    const addresses = new Set(drivers.map(({ address }) => address));
    if (addresses.size !== drivers.length) this.objections.push('two drivers with one address');
    for (const { uid, address } of drivers) {
      const holder = this.#holders.get(address);
      if (holder !== undefined && holder !== uid && this.acknowledged.has(holder)) {
        this.objections.push(`${address} went from ${holder} to ${uid} too soon`);
      }
      this.#holders.set(address, uid);
    }
    super.publish(drivers);
  }

  successor(): StrictFleet {
    return new StrictFleet(this.objections, this.#holders, this.acknowledged);
  }
}

/** In every other minute the pool has this size instead of its own. */
function everyMinute(size: number, maximum: number): PoolSchedule {
  return {
    times: [],
    at(nowMs) {
      const minute = Math.floor(nowMs / 60_000);
      const inForce = minute % 2 === 0 ? { size: Math.min(size, maximum), maximum } : POOL;
      return { size: inForce.size, maximum: inForce.maximum, untilMs: (minute + 1) * 60_000 };
    },
  };
}

class Run {
  readonly world = new PoolWorld();
  readonly objections: string[] = [];
  /** Sessions that nothing has ended, with their drivers. */
  readonly sessions = new Map<string, string>();
  #count = 0;

  constructor() {
    let fleet: StrictFleet | undefined;
    this.world.newFleet = () => {
      fleet = fleet ? fleet.successor() : new StrictFleet(this.objections);
      return fleet;
    };
    this.world.drivers.onDelete = (resource) => {
      const uid = this.world.drivers.uid(resource);
      if ([...this.sessions.values()].includes(uid)) {
        this.objections.push(`${resource} was deleted with a session`);
      }
    };
  }

  async take(next: Step): Promise<void> {
    const { world } = this;
    const { drivers } = world;
    switch (next.do) {
      case 'wait':
        await world.pass(next.ms);
        break;
      case 'demand':
        world.demand.set(NAMESPACE, next.count);
        break;
      case 'size':
        world.pools.set(NAMESPACE, { ...POOL, size: next.count });
        world.controller.trigger();
        break;
      case 'schedule':
        world.pools.set(NAMESPACE, { ...POOL, schedule: everyMinute(next.count, next.maximum) });
        world.controller.trigger();
        break;
      case 'ready':
      case 'not_ready': {
        const driver = this.#driver(next.pick);
        if (driver?.condition !== 'terminating') this.#set(next.pick, { condition: next.do });
        break;
      }
      case 'terminate':
        this.#set(next.pick, { condition: 'terminating' });
        break;
      case 'end':
        this.#lose(this.#set(next.pick, { condition: 'ended' }));
        break;
      case 'restart':
        this.#lose(this.#set(next.pick, { instance: `again ${(this.#count += 1)}` }));
        break;
      case 'vanish': {
        const driver = this.#driver(next.pick);
        if (driver) {
          drivers.requests.delete(driver.resource ?? '');
          drivers.remove(driver.uid);
          this.#lose(driver.uid);
        }
        break;
      }
      case 'reuse address':
        drivers.nextAddress = this.#driver(next.pick)?.address;
        break;
      case 'assign':
        await this.#assign(next.pick);
        break;
      case 'release': {
        const [id, uid] = [...this.sessions][next.pick] ?? [];
        if (id === undefined || uid === undefined || !this.#holds(id)) break;
        this.sessions.delete(id);
        await world.release(uid, id).catch(() => this.sessions.set(id, uid));
        break;
      }
      case 'drain': {
        const driver = this.#driver(next.pick);
        const deadline = world.clock.now() + 365 * 86_400_000;
        if (driver) await world.controller.drain(driver.uid, deadline).catch(() => undefined);
        break;
      }
      case 'all ready':
        await world.allReady();
        break;
      case 'new control plane':
        world.store.outcomes.length = 0;
        await world.start();
        break;
      case 'unreadable':
        drivers.unreadable = new Error('away');
        break;
      case 'readable':
        drivers.unreadable = undefined;
        break;
      case 'refuse creation':
        drivers.createFailures.push(new Error('refused'));
        break;
      case 'refuse deletion':
        drivers.deleteFailures.push(new Error('refused'));
        break;
      case 'lose a write':
        world.store.outcomes.push('lost');
        break;
      case 'silent Envoys':
        world.fleet.acknowledges = false;
        break;
      case 'answering Envoys':
        world.fleet.acknowledges = true;
        world.fleet.acknowledge();
        break;
    }
    await world.pass();
    this.#check();
  }

  /** Everything that went wrong is over. */
  async heal(): Promise<void> {
    const { world } = this;
    const { drivers } = world;
    drivers.unreadable = undefined;
    drivers.createFailures.length = 0;
    drivers.deleteFailures.length = 0;
    drivers.nextAddress = undefined;
    world.store.outcomes.length = 0;
    world.demand.set(NAMESPACE, 0);
    const { schedule: _, ...pool } = world.pools.get(NAMESPACE) ?? POOL;
    world.pools.set(NAMESPACE, pool);
    await this.take({ do: 'answering Envoys' });
    for (let i = 0; i < 40; i += 1) {
      for (const { uid, condition } of drivers.observed.values()) {
        if (condition === 'not_ready') drivers.set(uid, { condition: 'ready' });
        if (condition === 'terminating') {
          drivers.set(uid, { condition: 'ended' });
          this.#lose(uid);
        }
      }
      await world.allReady();
      await world.pass(120_000);
      this.#check();
    }
  }

  #driver(index: number) {
    const all = [...this.world.drivers.observed.values()].filter((d) => d.condition !== 'ended');
    return all[index % Math.max(1, all.length)];
  }

  #set(index: number, fields: Parameters<PoolWorld['drivers']['set']>[1]): string | undefined {
    const driver = this.#driver(index);
    if (driver) this.world.drivers.set(driver.uid, fields);
    return driver?.uid;
  }

  #lose(uid: string | undefined): void {
    for (const [id, holder] of this.sessions) if (holder === uid) this.sessions.delete(id);
  }

  #holds(id: string): boolean {
    return this.world.ledger.bySession(id)?.sessions[id] !== undefined;
  }

  /** As the assigner chooses: an available driver that was seen ready. */
  async #assign(index: number): Promise<void> {
    const { world } = this;
    const free = world
      .records('available')
      .filter((r) => world.controller.get(r.uid)?.condition === 'ready' && !r.tenant);
    const uid = free[index % Math.max(1, free.length)]?.uid;
    const alive = uid !== undefined && world.drivers.observed.get(uid);
    if (uid === undefined || !alive || alive.condition === 'ended') return;
    if (alive.instance !== world.ledger.get(uid)?.instance) return;
    const id = sessionId((this.#count += 1));
    this.sessions.set(id, uid);
    await world.assign(uid, id).catch(() => this.sessions.delete(id));
  }

  #check(): void {
    const { world } = this;
    const alive = [...world.drivers.observed.values()].filter((d) => d.condition !== 'ended');
    if (alive.length > POOL.maximum) this.objections.push(`${alive.length} drivers`);
    const published = new Set(world.fleet.uids);
    for (const [id, uid] of this.sessions) {
      if (!this.#holds(id)) this.objections.push(`session ${id} was lost`);
      if (!published.has(uid)) this.objections.push(`${uid} has a session and is not routable`);
    }
  }
}

test('sessions are never taken away, addresses never shared, and the pool always recovers', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const run = new Run();
      const { world } = run;
      await world.start();
      await world.allReady();
      for (const next of steps) {
        await run.take(next);
        if (run.objections.length > 0) throw new Error(run.objections.join('; '));
      }
      await run.heal();
      if (run.objections.length > 0) throw new Error(run.objections.join('; '));

      const live = world.records().filter(({ phase }) => phase !== 'gone');
      const busy = live.filter(({ sessions }) => Object.keys(sessions).length > 0).length;
      const size = world.pools.get(NAMESPACE)?.size ?? 0;
      const wanted = Math.min(size, POOL.maximum - busy);
      const phases = live.map(({ uid, phase }) => `${uid} ${phase}`).join(', ');
      if (world.records('available').length !== wanted || live.length !== busy + wanted) {
        throw new Error(`wanted ${wanted} available beside ${busy} busy: ${phases}`);
      }
      await world.controller.stop();
    }),
    { numRuns: tries(150), interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false },
  );
  t.pass();
});
