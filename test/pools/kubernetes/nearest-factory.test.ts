import test from 'ava';
import { pino } from 'pino';
import type { RequestedDriver } from '../../../src/model/driver.js';
import type { FleetProblem } from '../../../src/model/fleet-problem.js';
import { NearestFactory } from '../../../src/pools/kubernetes/nearest-factory.js';
import { ManualClock } from '../../support/manual-clock.js';

const NAMESPACE = 'sjns-ads-dev';

class Cluster {
  readonly name: string;
  readonly requested = new Map<string, RequestedDriver>();
  /** Resources that do not come up. */
  readonly stuck = new Set<string>();
  refuses = false;
  away = false;

  constructor(name: string) {
    this.name = name;
  }

  readonly factory = {
    list: async () => {
      if (this.away) throw new Error('away');
      return [...this.requested.values()];
    },
    create: async (resource: string, namespace: string) => {
      if (this.refuses) throw new Error(`${this.name} refuses`);
      this.requested.set(resource, { resource, namespace, createdAtMs: 0 });
    },
    delete: async (resource: string) => {
      this.requested.delete(resource);
    },
  };

  readonly problems = (): FleetProblem[] =>
    [...this.stuck].map((name) => ({
      kind: 'driver_start_failed',
      object: { apiVersion: 'v1', kind: 'SparkConnect', name, namespace: NAMESPACE },
      message: 'Unschedulable',
    }));
}

async function fixture() {
  const clock = new ManualClock();
  const near = new Cluster('near');
  const far = new Cluster('far');
  const factory = new NearestFactory([near, far], clock, pino({ level: 'silent' }));
  await factory.list();
  return { clock, near, far, factory };
}

test('a driver is made in the nearest cluster', async (t) => {
  const { near, far, factory } = await fixture();
  await factory.create('d1', NAMESPACE);
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [['d1'], []]);
});

test('where it is refused or cannot be reached, the next nearest makes it', async (t) => {
  const { near, far, factory } = await fixture();
  near.refuses = true;
  await factory.create('d1', NAMESPACE);
  near.refuses = false;
  near.away = true;
  await factory.list();
  await factory.create('d2', NAMESPACE);
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [[], ['d1', 'd2']]);
});

test('a cluster in which a driver did not come up is the last choice for a while', async (t) => {
  const { clock, near, far, factory } = await fixture();
  await factory.create('d1', NAMESPACE);
  await factory.list();
  near.stuck.add('d1');
  await factory.delete('d1', NAMESPACE);
  near.stuck.clear();
  await factory.create('d2', NAMESPACE);
  t.true(far.requested.has('d2'));
  await factory.create('d3', 'sjns-other-dev');
  t.true(near.requested.has('d3'), 'another namespace may have room there');
  far.refuses = true;
  await factory.create('d4', NAMESPACE);
  t.true(near.requested.has('d4'), 'better than nowhere');
  far.refuses = false;
  await clock.advance(5 * 60_000);
  await factory.create('d5', NAMESPACE);
  t.true(near.requested.has('d5'));
});

test('a driver that came up and is deleted says nothing against its cluster', async (t) => {
  const { near, factory } = await fixture();
  await factory.create('d1', NAMESPACE);
  await factory.list();
  await factory.delete('d1', NAMESPACE);
  await factory.create('d2', NAMESPACE);
  t.true(near.requested.has('d2'));
});
