import test from 'ava';
import type { CanaryPolicy } from '../../src/model/policy.js';
import { NAMESPACE, sessionId } from '../support/driver-records.js';
import { POOL, PoolWorld } from '../support/pool-world.js';

const CANARY: CanaryPolicy = {
  variant: 'next',
  share: 0.05,
  sticky: 'principal',
  whenNoneIsReady: 'stable',
  size: undefined,
  maximum: undefined,
};

function world(canary: Partial<CanaryPolicy> = {}): PoolWorld {
  const made = new PoolWorld();
  made.pools.set(NAMESPACE, { ...POOL, canaries: [{ ...CANARY, ...canary }] });
  return made;
}

const requests = ({ drivers }: PoolWorld) =>
  [...drivers.requests.values()].map(({ variant }) => variant ?? 'own').toSorted();

test('a canary has drivers of its own beside those of the pool', async (t) => {
  const w = world();
  await w.start();
  t.deepEqual(requests(w), ['next', 'own', 'own']);
  await w.allReady();
  t.is(w.records('available').filter(({ variant }) => variant === 'next').length, 1);
  const pools = w.controller.report().pools;
  t.deepEqual(
    pools.map(({ variant, size, maximum, available }) => ({ variant, size, maximum, available })),
    [
      { variant: undefined, size: 2, maximum: 4, available: 2 },
      { variant: 'next', size: 1, maximum: 1, available: 1 },
    ],
  );
});

test('demand for a canary makes drivers of it, up to its own maximum', async (t) => {
  const w = world({ size: 0, maximum: 2 });
  await w.start();
  t.deepEqual(requests(w), ['own', 'own']);
  w.demand.set(`${NAMESPACE}/next`, 5);
  await w.pass();
  t.deepEqual(requests(w), ['next', 'next', 'own', 'own']);
});

test('a canary whose drivers fail to start holds up no driver of the pool', async (t) => {
  const w = world();
  w.drivers.createFailures.push(new Error('no such template'));
  w.drivers.failsFor = 'next';
  await w.start();
  t.deepEqual(requests(w), ['own', 'own']);
  t.is(w.controller.status({ namespace: NAMESPACE }).failure, undefined);
  t.is(w.controller.status({ namespace: NAMESPACE, variant: 'next' }).failure, 'no such template');
});

test('drivers of a canary that the policy no longer has go when their sessions have ended', async (t) => {
  const w = world({ size: 2, maximum: 2 });
  await w.start();
  await w.allReady();
  const [busy, idle] = w.records('available').filter(({ variant }) => variant === 'next');
  if (!busy || !idle) return t.fail();
  await w.assign(busy.uid, sessionId(1));
  w.pools.set(NAMESPACE, POOL);
  w.controller.trigger();
  await w.pass();
  t.is(w.phaseOf(idle.uid), 'gone');
  t.is(w.phaseOf(busy.uid), 'in_use');
  await w.release(busy.uid, sessionId(1));
  await w.pass();
  t.is(w.phaseOf(busy.uid), 'gone');
  t.deepEqual(requests(w), ['own', 'own']);
});

test('a restarted control plane knows which drivers are of the canary', async (t) => {
  const w = world();
  await w.start();
  await w.allReady();
  await w.start();
  await w.pass();
  t.deepEqual(requests(w), ['next', 'own', 'own']);
  t.is(w.records().filter(({ variant }) => variant === 'next').length, 1);
});
