import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { openShadowPolicy } from '../../src/processes/policy.js';
import { HEAD, options } from '../policy/support.js';
import { Signal } from '../support/signal.js';
import { WatchedClock } from '../support/watched-clock.js';

const LOOK_AGAIN_MS = 5_000;
/** When what was begun before has been taken note of. */
const afterwards = () => new Promise((resolve) => setImmediate(resolve));
const GOOD = `${HEAD}access: []\n`;

async function world(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'shadow-'));
  const clock = new WatchedClock();
  const logged = new Signal<Record<string, unknown>>();
  const logger = pino(
    {},
    { write: (line) => logged.emit(JSON.parse(line) as Record<string, unknown>) },
  );
  const path = join(folder, 'next.yaml');
  const open = (file: string | undefined) => {
    const shadow = openShadowPolicy(file, { compile: options, clock, logger });
    t.teardown(() => shadow.close());
    return shadow;
  };
  t.teardown(() => rm(folder, { recursive: true }));
  return { clock, logged, path, open };
}

test('without a file nothing is tried out', async (t) => {
  const shadow = (await world(t)).open(undefined);
  t.is(shadow.current(), undefined);
  t.is(shadow.status(), undefined);
});

test('a file that comes later, and is bad at first, is tried out when it is good', async (t) => {
  const { clock, logged, path, open } = await world(t);
  const shadow = open(path);
  t.regex(String((await logged.next())['error']), /cannot be read: ENOENT/);
  t.regex(shadow.status()?.problem ?? '', /ENOENT/);
  await clock.timer(LOOK_AGAIN_MS);

  await writeFile(path, `${GOOD}nonsense: 1\n`);
  await clock.advance(LOOK_AGAIN_MS);
  t.regex(String((await logged.next())['error']), /next\.yaml:5:1: "nonsense" is no field/);
  t.is(shadow.current(), undefined);
  t.is(shadow.status()?.version, undefined);
  await clock.timer(LOOK_AGAIN_MS);

  await writeFile(path, GOOD);
  await clock.advance(LOOK_AGAIN_MS);
  const loaded = await logged.next();
  t.like(loaded, { msg: 'policy loaded', policy: 'shadow' });
  await clock.timer(LOOK_AGAIN_MS);
  await afterwards();
  t.is(shadow.current()?.version, String(loaded['version']));
  t.deepEqual(shadow.status(), { version: shadow.current()?.version, problem: undefined });
});

test('one that turns bad is still tried out as it was, and its mistake is told once', async (t) => {
  const { clock, logged, path, open } = await world(t);
  await writeFile(path, GOOD);
  const shadow = open(path);
  const version = String((await logged.next())['version']);
  await clock.timer(LOOK_AGAIN_MS);
  await afterwards();
  await writeFile(path, 'half a po');
  await clock.advance(LOOK_AGAIN_MS);
  t.regex(String((await logged.next())['error']), /next\.yaml:1:1: /);
  t.is(shadow.current()?.version, version);
  t.is(shadow.status()?.version, version);
  t.regex(shadow.status()?.problem ?? '', /next\.yaml:1:1: /);
});

test('closed while it waits for its file, it looks no more', async (t) => {
  const { clock, logged, path, open } = await world(t);
  const shadow = open(path);
  await logged.next();
  await clock.timer(LOOK_AGAIN_MS);
  shadow.close();
  await writeFile(path, GOOD);
  await clock.advance(10 * LOOK_AGAIN_MS);
  t.is(shadow.current(), undefined);
  t.is(logged.waiting, 0);
});
