import test from 'ava';
import { Background } from '../../src/fleet/factory-calls.js';
import { ManualClock, settle } from '../support/manual-clock.js';

/** Forty calls, of which as many as may be have begun and go on until `finish`. */
async function setUp() {
  const background = new Background(new ManualClock(), () => undefined);
  let allowed = true;
  let begun = 0;
  const ends: (() => void)[] = [];
  for (let n = 0; n < 40; n += 1) {
    background.start(
      { resource: `d${n}`, namespace: 'ns' },
      () => {
        begun += 1;
        return new Promise<void>((resolve) => ends.push(resolve));
      },
      () => allowed,
      () => undefined,
    );
  }
  await settle();
  return {
    background,
    begun: () => begun,
    forbid: () => (allowed = false),
    finish: async () => {
      for (const end of ends.splice(0)) end();
      await settle();
    },
  };
}

test('calls beyond so many wait for their turn, and count as under way', async (t) => {
  const { background, begun, finish } = await setUp();
  t.is(begun(), 32);
  t.is(background.resources().length, 40);
  await finish();
  t.is(begun(), 40);
});

test('a call whose turn comes when it is not this process’s to make any more is not made', async (t) => {
  const { background, begun, forbid, finish } = await setUp();
  forbid();
  await finish();
  t.is(begun(), 32);
  background.beforeList()();
  t.deepEqual(background.resources(), []);
});

test('a stop waits for the calls that have begun, and no other begins', async (t) => {
  const { background, begun, finish } = await setUp();
  let stopped = false;
  const stop = background.stop().then(() => (stopped = true));
  await settle();
  t.false(stopped);
  await finish();
  await stop;
  t.is(begun(), 32);
});
