import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { systemClock, type Clock } from '../../src/model/clock.js';
import { StaticFile } from '../../src/discovery/static/static-drivers.js';
import { temporaryFolder, untilSeen } from '../support/local-world.js';
import { ManualClock } from '../support/manual-clock.js';

function entry(name: string, address: string, more = ''): string {
  return `  - name: ${name}\n    namespace: sjns-a-prod\n    address: ${address}\n${more}`;
}

interface World {
  readonly folder: string;
  readonly path: string;
  readonly source: StaticFile;
  /** Addresses that do not answer. */
  readonly silent: Set<string>;
}

async function openStatic(
  t: ExecutionContext,
  text: string,
  clock: Clock = systemClock,
): Promise<World> {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'drivers.yaml');
  await writeFile(path, text);
  const silent = new Set<string>();
  const source = await StaticFile.open({
    path,
    clock,
    log: pino({ enabled: false }),
    env: { TOKEN: 'from-env' },
    probe: (address) => Promise.resolve(silent.has(address) ? 'ECONNREFUSED' : undefined),
  });
  t.teardown(() => source.close());
  return { folder, path, source, silent };
}

test('drivers of the file are shown as they answer', async (t) => {
  const text = `drivers:\n${entry('a', '10.0.0.1')}${entry('b', '10.0.0.2', '    token_env: TOKEN\n')}`;
  const { source } = await openStatic(t, text);
  const drivers = await source.list();
  t.deepEqual(
    drivers.map(({ address, condition, token, resource }) => [address, condition, token, resource]),
    [
      ['10.0.0.1', 'ready', undefined, undefined],
      ['10.0.0.2', 'ready', 'from-env', undefined],
    ],
  );
});

test('a driver of Spark 3.5 is known to remember a hundred sessions', async (t) => {
  const old = entry('a', '10.0.0.1', '    spark_version: 3.5.7\n');
  const current = entry('b', '10.0.0.2', '    spark_version: 4.1.0\n');
  const { source } = await openStatic(t, `drivers:\n${old}${current}`);
  const drivers = await source.list();
  t.deepEqual(
    drivers.map(({ mostSessions }) => mostSessions),
    [100, undefined],
  );
});

test('whoever runs a driver may say that it was restarted', async (t) => {
  const { path, source } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`);
  const [before] = await source.list();
  await writeFile(path, `drivers:\n${entry('a', '10.0.0.1', '    instance: 2\n')}`);
  const [after] = await untilSeen({ source }, ([seen]) => seen?.instance !== before?.instance);
  t.is(after?.uid, before?.uid);
  t.deepEqual([before?.instance, after?.instance], ['static', 'static/2']);
});

test('a driver that stops answering is not ready, never gone', async (t) => {
  const clock = new ManualClock();
  const { source, silent } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`, clock);
  t.is((await source.list())[0]?.condition, 'ready');
  silent.add('10.0.0.1');
  await clock.advance(3_600_000);
  const [driver] = await source.list();
  t.like(driver, {
    condition: 'not_ready',
    reason: 'a does not answer on its port: ECONNREFUSED.',
  });
  silent.clear();
  await clock.advance(1_000);
  t.is((await source.list())[0]?.condition, 'ready');
});

test('a driver that has never answered is starting', async (t) => {
  const clock = new ManualClock();
  const { source, silent } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`, clock);
  silent.add('10.0.0.1');
  t.is((await source.list())[0]?.condition, 'starting');
});

test('a change of the file is in force without a restart', async (t) => {
  const { source, path } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`);
  const [before] = await source.list();
  await writeFile(path, `drivers:\n${entry('a', '10.0.0.1')}${entry('b', '10.0.0.2')}`);
  const two = await untilSeen({ source }, (drivers) => drivers.length === 2);
  t.is(two[0]?.uid, before?.uid);
  await writeFile(path, `drivers:\n${entry('b', '10.0.0.2')}`);
  const one = await untilSeen({ source }, (drivers) => drivers.length === 1);
  t.is(one[0]?.address, '10.0.0.2');
});

test('another address is another driver', async (t) => {
  const { source, path } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`);
  const [before] = await source.list();
  await writeFile(path, `drivers:\n${entry('a', '10.0.0.2')}`);
  const [after] = await untilSeen({ source }, ([driver]) => driver?.address === '10.0.0.2');
  t.not(after?.uid, before?.uid);
});

test('a file put in the old one’s place is noticed, as editors and Kubernetes do it', async (t) => {
  const { source, path, folder } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`);
  await writeFile(join(folder, 'next'), `drivers:\n${entry('a', '10.0.0.2')}`);
  await rename(join(folder, 'next'), path);
  await untilSeen({ source }, ([driver]) => driver?.address === '10.0.0.2');
  await mkdir(join(folder, 'data'));
  await writeFile(join(folder, 'data', 'drivers.yaml'), `drivers:\n${entry('a', '10.0.0.3')}`);
  await symlink(join(folder, 'data', 'drivers.yaml'), join(folder, 'link'));
  await rename(join(folder, 'link'), path);
  await untilSeen({ source }, ([driver]) => driver?.address === '10.0.0.3');
  t.pass();
});

test('a file with a mistake changes nothing and the mistake is told with its line', async (t) => {
  const { source, path } = await openStatic(t, `drivers:\n${entry('a', '10.0.0.1')}`);
  await writeFile(path, `drivers:\n${entry('a', '10.0.0.1')}${entry('b', 'spark.local')}`);
  const drivers = await untilSeen({ source }, () => source.problem !== undefined);
  t.is(drivers.length, 1);
  t.regex(source.problem ?? '', /drivers\.yaml:7: address is "spark\.local"/);
  await writeFile(path, `drivers:\n${entry('a', '10.0.0.1')}${entry('b', '10.0.0.2')}`);
  await untilSeen({ source }, ({ length }) => length === 2);
  t.is(source.problem, undefined);
});

test('a token file is read with the drivers, and again when it changes', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'a.token'), 'first\n');
  const path = join(folder, 'drivers.yaml');
  await writeFile(path, `drivers:\n${entry('a', '10.0.0.1', '    token_file: a.token\n')}`);
  const source = await StaticFile.open({
    path,
    clock: systemClock,
    log: pino({ enabled: false }),
    probe: () => Promise.resolve(undefined),
  });
  t.teardown(() => source.close());
  const [before] = await source.list();
  t.is(before?.token, 'first');
  await writeFile(join(folder, 'a.token'), 'second\n');
  const [after] = await untilSeen({ source }, ([seen]) => seen?.token === 'second');
  t.is(after?.token, 'second');
  // A running driver's token cannot change: this is another one, without the sessions of the first.
  t.is(after?.uid, before?.uid);
  t.not(after?.instance, before?.instance);
  t.false(after?.instance.includes('second'));
});

test('a file that cannot be used at the start is refused with the reason', async (t) => {
  const folder = await temporaryFolder(t);
  const open = (name: string) =>
    StaticFile.open({
      path: join(folder, name),
      clock: systemClock,
      log: pino({ enabled: false }),
      env: {},
    });
  await t.throwsAsync(open('missing.yaml'), {
    message: /missing\.yaml: the file of drivers cannot be read: ENOENT/,
  });
  await writeFile(join(folder, 'bad.yaml'), 'drivers: 3\n');
  await t.throwsAsync(open('bad.yaml'), { message: /bad\.yaml:1: The file must have a list/ });
  await writeFile(
    join(folder, 'token.yaml'),
    `drivers:\n${entry('a', '10.0.0.1', '    token_env: TOKEN\n')}`,
  );
  await t.throwsAsync(open('token.yaml'), { message: /a needs TOKEN, which is not set/ });
  await writeFile(
    join(folder, 'file.yaml'),
    `drivers:\n${entry('a', '10.0.0.1', '    token_file: a.token\n')}`,
  );
  for (const [token, problem] of [
    ['sec\nret', /a\.token, holds spaces, line breaks/],
    ['\n', /a\.token, is empty: put the driver's/],
  ] as const) {
    await writeFile(join(folder, 'a.token'), token);
    const error = await t.throwsAsync(open('file.yaml'), { message: problem });
    t.false(error?.message.includes('sec\n'));
  }
});
