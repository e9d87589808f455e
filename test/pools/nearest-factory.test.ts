import test from 'ava';
import { pino } from 'pino';
import { KubernetesError } from '../../src/kubernetes/error.js';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import { NearestFactory } from '../../src/pools/kubernetes/nearest-factory.js';
import { FakeDrivers } from '../support/fake-drivers.js';

function twoClusters() {
  const near = new FakeDrivers(() => 0);
  const far = new FakeDrivers(() => 0);
  const clusters = [
    { name: 'near', factory: near.factory, problems: () => [] },
    { name: 'far', factory: far.factory, problems: () => [] },
  ];
  return {
    near,
    far,
    factory: new NearestFactory(clusters, systemClock, pino({ level: 'silent' })),
  };
}

function failure(status: number, reason: string): GatewayError {
  const cause = new KubernetesError(status, reason, reason);
  return new GatewayError('DRIVER_START_FAILED', 'It could not be made.', { cause });
}

for (const [why, error] of [
  ['refuses', failure(403, 'Forbidden')],
  ['cannot be connected to', failure(0, 'ECONNREFUSED')],
] as const) {
  test(`a driver that the nearest cluster ${why} is made in the next`, async (t) => {
    const { near, far, factory } = twoClusters();
    near.createFailures.push(error);
    await factory.create('d1', 'sjns-ads-dev');
    t.deepEqual([near.created, far.created], [[], ['d1']]);
  });
}

test('a driver that may have been made is neither made elsewhere nor deleted', async (t) => {
  const { near, far, factory } = twoClusters();
  near.createFailures.push(failure(0, 'ETIMEDOUT'));
  await t.throwsAsync(factory.create('d1', 'sjns-ads-dev'), { code: 'DRIVER_START_FAILED' });
  t.deepEqual([near.deleted, far.created, far.deleted], [[], [], []]);
});
