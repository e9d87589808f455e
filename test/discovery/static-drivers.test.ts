import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { StaticFile } from '../../src/discovery/static/static-drivers.js';
import { parseStaticEntries, type StaticEntry } from '../../src/discovery/static/static-entries.js';
import { type Clock, systemClock } from '../../src/model/clock.js';
import { temporaryFolder, untilSeen } from '../support/local-world.js';
import { ManualClock } from '../support/manual-clock.js';

// Entries of the file.

const ONE = 'drivers:\n  - name: etl\n    namespace: sjns-a-prod\n    address: 10.0.0.1\n';

function only(text: string): StaticEntry | undefined {
  const parsed = parseStaticEntries(text);
  return 'entries' in parsed ? parsed.entries[0] : undefined;
}

test('an entry needs a name, a namespace and an address; the rest has defaults', (t) => {
  t.like(only(ONE), {
    name: 'etl',
    namespace: 'sjns-a-prod',
    address: '10.0.0.1',
    port: 15_002,
    tokenFile: undefined,
    instance: '',
    sparkVersion: undefined,
  });
  const all = `${ONE}    port: 15003\n    token_env: T\n    instance: 2\n    spark_version: 4.0.1\n`;
  t.like(only(all), { port: 15_003, tokenEnv: 'T', instance: '2', sparkVersion: '4.0.1' });
  t.deepEqual(parseStaticEntries('drivers: []'), { entries: [] });
});

test('an entry keeps its identity over edits of the file, unless it names another driver', (t) => {
  const uid = only(ONE)?.uid;
  t.regex(uid ?? '', /^etl-[0-9a-f]{12}$/);
  t.is(only(`# a comment\n${ONE}    token_env: T\n    port: 15002\n`)?.uid, uid);
  t.not(only(ONE.replace('10.0.0.1', '10.0.0.2'))?.uid, uid);
  t.not(only(`${ONE}    port: 15003\n`)?.uid, uid);
  t.not(only(ONE.replace('sjns-a-prod', 'sjns-b-prod'))?.uid, uid);
});

test('a Spark that forgets sessions before the gateway does is a mistake at its line', (t) => {
  const old = `${ONE}    spark_version: 3.5.7\n`;
  t.deepEqual(parseStaticEntries(old, 3_600_000), {
    mistakes: [
      {
        line: 5,
        message:
          'Spark 3.5 forgets a session in silence after an hour without a request: session_ttl must be shorter than 1h, or this Spark 4.',
      },
    ],
  });
  t.true('entries' in parseStaticEntries(old, 3_599_000));
  t.true('entries' in parseStaticEntries(old.replace('3.5.7', '4.0.1'), 86_400_000));
});

test('IPv6 addresses are brought to their canonical form', (t) => {
  t.is(only(ONE.replace('10.0.0.1', '"2001:DB8:0::1"'))?.address, '2001:db8::1');
});

const mistakes: readonly [string, string, number, RegExp][] = [
  ['no list', 'driver: []', 1, /must have a list "drivers"/],
  ['nothing at all', '', 1, /must have a list "drivers"/],
  ['YAML that is broken', 'drivers:\n  - name: [x', 2, /./],
  ['a driver that is no map', 'drivers:\n  - etl\n', 2, /A driver is a map/],
  ['a missing address', 'drivers:\n  - name: a\n    namespace: b\n', 2, /address is missing/],
  [
    'a host name',
    ONE.replace('10.0.0.1', 'spark.local'),
    4,
    /address is "spark.local".*IP address/,
  ],
  ['a zone', ONE.replace('10.0.0.1', 'fe80::1%eth0'), 4, /IP address.*without a zone/],
  ['a bad instance', `${ONE}    instance: a b\n`, 5, /instance is "a b"; it must be/],
  ['a bad version', `${ONE}    spark_version: new\n`, 5, /spark_version is "new"; it must be/],
  ['a bad port', `${ONE}    port: 70000\n`, 5, /port is "70000"; it must be a port/],
  ['a bad name', ONE.replace('etl', 'Etl 1'), 2, /name is "Etl 1"; it must be a DNS label/],
  ['an unknown key', `${ONE}    adress: x\n`, 5, /"adress" is unknown; allowed are name,/],
  ['two tokens', `${ONE}    token_env: T\n    token_file: t\n`, 2, /exclude each other/],
  ['a name used twice', ONE + ONE.slice(9).replace('0.1', '0.2'), 5, /name etl is used twice/],
  [
    'an address used twice',
    ONE + ONE.slice(9).replace('etl', 'two'),
    5,
    /two has the address of etl: 10\.0\.0\.1 port 15002/,
  ],
];

for (const [what, text, line, message] of mistakes) {
  test(`refused with its line: ${what}`, (t) => {
    const parsed = parseStaticEntries(text);
    const [first] = 'mistakes' in parsed ? parsed.mistakes : [];
    t.is(first?.line, line);
    t.regex(first?.message ?? '', message);
  });
}

test('every mistake is told at once', (t) => {
  const parsed = parseStaticEntries('drivers:\n  - name: a\n  - namespace: b\n');
  t.is('mistakes' in parsed ? parsed.mistakes.length : 0, 4);
});

// The file as it changes.

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
