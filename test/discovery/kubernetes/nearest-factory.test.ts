import test from 'ava';
import { pino } from 'pino';
import { KubernetesError } from '../../../src/lib/kubernetes/http.js';
import type { RequestedDriver } from '../../../src/model/driver.js';
import { GatewayError } from '../../../src/model/errors.js';
import type { FleetProblem } from '../../../src/model/fleet-problem.js';
import { NearestFactory } from '../../../src/discovery/kubernetes/nearest-factory.js';
import { ManualClock } from '../../support/manual-clock.js';

const NAMESPACE = 'sjns-ads-dev';

class Cluster {
  readonly name: string;
  readonly requested = new Map<string, RequestedDriver>();
  /** Resources that do not come up. */
  readonly stuck = new Set<string>();
  /** What becomes of creating a driver there. */
  failure: Error | undefined;
  readonly deleted: string[] = [];
  away = false;
  /** Namespaces that cannot be read there. */
  readonly unreadable = new Set<string>();

  constructor(name: string) {
    this.name = name;
  }

  readonly factory = {
    inDoubt: (namespace: string) => this.unreadable.has(namespace),
    list: async () => {
      if (this.away) throw new Error('away');
      return [...this.requested.values()];
    },
    create: async (resource: string, namespace: string) => {
      if (this.failure) throw this.failure;
      this.requested.set(resource, { resource, namespace, createdAtMs: 0 });
    },
    delete: async (resource: string) => {
      this.deleted.push(resource);
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

function failure(status: number, reason: string): GatewayError {
  const cause = new KubernetesError(status, reason, reason);
  return new GatewayError('DRIVER_START_FAILED', 'It could not be made.', { cause });
}

const refusal = failure(403, 'Forbidden');

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

for (const [why, error] of [
  ['refuses', refusal],
  ['cannot be connected to', failure(0, 'ECONNREFUSED')],
] as const) {
  test(`a driver that the nearest cluster ${why} is made in the next`, async (t) => {
    const { near, far, factory } = await fixture();
    near.failure = error;
    await factory.create('d1', NAMESPACE);
    t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [[], ['d1']]);
  });
}

test('a driver is made in the next while the nearest cluster is away', async (t) => {
  const { near, far, factory } = await fixture();
  near.away = true;
  await factory.list();
  await factory.create('d1', NAMESPACE);
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [[], ['d1']]);
});

test('a namespace that one cluster cannot read is served by the next, the others as before', async (t) => {
  const { near, far, factory } = await fixture();
  near.unreadable.add(NAMESPACE);
  t.false(factory.inDoubt(NAMESPACE));
  await factory.create('d1', NAMESPACE);
  await factory.create('d2', 'sjns-other-dev');
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [['d2'], ['d1']]);
  far.unreadable.add(NAMESPACE);
  t.true(factory.inDoubt(NAMESPACE));
  t.false(factory.inDoubt('sjns-other-dev'));
});

test('a driver that may have been made is neither made elsewhere nor deleted', async (t) => {
  const { near, far, factory } = await fixture();
  near.failure = failure(0, 'ETIMEDOUT');
  await t.throwsAsync(factory.create('d1', NAMESPACE), { code: 'DRIVER_START_FAILED' });
  t.deepEqual([near.deleted, [...far.requested.keys()], far.deleted], [[], [], []]);
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
  far.failure = refusal;
  await factory.create('d4', NAMESPACE);
  t.true(near.requested.has('d4'), 'better than nowhere');
  far.failure = undefined;
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
