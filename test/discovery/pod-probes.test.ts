import test from 'ava';
import { PodProbes } from '../../src/discovery/pod-probes.js';
import type { ObservedDriver } from '../../src/model/driver.js';
import { ManualClock, settle } from '../support/manual-clock.js';

const HANGS = 'accepts connections and does not answer within 5000 ms';

const ready: ObservedDriver = {
  uid: 'd1',
  instance: 'c1',
  namespace: 'sjns-ads-dev',
  address: '10.0.0.1',
  port: 15002,
  condition: 'ready',
};

function setUp(answer: string | undefined) {
  const clock = new ManualClock();
  const state = { answer, probes: 0, watched: true };
  const probes = new PodProbes({
    probe: () => {
      state.probes += 1;
      return Promise.resolve(state.answer);
    },
    isWatched: () => state.watched,
    clock,
    onChange: () => undefined,
  });
  const observe = async (driver = ready) => {
    probes.observe([driver]);
    await settle();
    return probes.observe([driver])[0];
  };
  return { clock, state, observe, probes };
}

test('an idle driver that answers is what its pod says', async (t) => {
  const { observe, clock } = setUp(undefined);
  t.like(await observe(), { condition: 'ready', answeredAtMs: clock.now() });
});

test('one that stops answering is not ready, counted from then on', async (t) => {
  const { observe, clock, state } = setUp(undefined);
  await observe();
  const answeredAtMs = clock.now();
  state.answer = HANGS;
  await clock.advance(20_000);
  const driver = await observe();
  t.like(driver, { condition: 'not_ready', answeredAtMs });
  t.regex(driver?.reason ?? '', /accepts connections and does not answer/);
  t.true((driver?.silentSinceMs ?? 0) > answeredAtMs);
  state.answer = undefined;
  await clock.advance(20_000);
  t.is((await observe())?.condition, 'ready');
});

test('one that hangs when it is first looked at is not offered', async (t) => {
  t.is((await setUp(HANGS).observe())?.condition, 'not_ready');
});

test('one that cannot be reached from here, and never could, is believed', async (t) => {
  for (const answer of ['ECONNREFUSED', 'no answer within 5000 ms']) {
    t.is((await setUp(answer).observe())?.condition, 'ready');
  }
});

test('nobody else is probed: drivers that are not ready, or whose silence others notice', async (t) => {
  const { observe, state, clock } = setUp(undefined);
  state.watched = false;
  await observe();
  state.watched = true;
  await observe({ ...ready, condition: 'starting' });
  await clock.advance(60_000);
  t.is(state.probes, 0);
  t.is(clock.pending, 0);
});

test('thousands of idle drivers are probed less often', async (t) => {
  const { clock, state, probes } = setUp(undefined);
  const many = Array.from({ length: 2_000 }, (_, n) => ({ ...ready, uid: `d${n}` }));
  probes.observe(many);
  await settle();
  await clock.advance(19_000);
  t.is(state.probes, 2_000);
  await clock.advance(2_000);
  t.is(state.probes, 4_000);
  probes.close();
});

test('thousands that cannot be reached are probed as seldom as those that answer', async (t) => {
  const { clock, state, probes } = setUp('ECONNREFUSED');
  probes.observe(Array.from({ length: 2_000 }, (_, n) => ({ ...ready, uid: `d${n}` })));
  await settle();
  await clock.advance(60_000);
  t.true(state.probes <= 8_000, `${state.probes} probes`);
  probes.close();
});
