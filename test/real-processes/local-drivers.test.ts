import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import {
  classArchivePath,
  makeClassArchive,
  type MakeClassArchiveOptions,
} from '../../src/discovery/local/class-archive.js';
import { failureReason } from '../../src/discovery/local/local-driver.js';
import { stopLocalDrivers } from '../../src/discovery/local/local-drivers.js';
import { LocalFolders } from '../../src/discovery/local/local-folders.js';
import type { SparkCommandOptions } from '../../src/discovery/local/spark-command.js';
import { http2Probe } from '../../src/discovery/port-monitor.js';
import { processId, sessionMembers } from '../../src/lib/child-processes/proc.js';
import { type Clock, systemClock } from '../../src/model/clock.js';
import type { ObservedDriver } from '../../src/model/driver.js';
import {
  NETWORK,
  openLocal,
  pidOf,
  standInCommand,
  temporaryFolder,
  untilReady,
  untilSeen,
} from '../support/local-world.js';
import { unusedRange } from '../support/loopback.js';

// Drivers as processes of this machine.

/** Of a driver that was asked for before this process began. */
const ADDRESS = `${NETWORK}.9`;

/** A gateway asked for a driver and then crashed. */
async function askedBefore(stateFolder: string): Promise<void> {
  const folders = new LocalFolders(stateFolder);
  await folders.prepare();
  await folders.writeRequest({
    resource: 'one',
    namespace: 'sjns-ads-dev',
    uid: 'uid-1',
    address: ADDRESS,
    port: 15_002,
    token: 'secret',
    createdAtMs: 1,
  });
}

/** A gateway made this driver and then ended. */
async function madeBefore(t: ExecutionContext, stateFolder: string): Promise<ObservedDriver> {
  const before = await openLocal(t, { stateFolder });
  await before.factory.create('one', 'sjns-ads-dev');
  const driver = await untilReady(before);
  before.close();
  return driver;
}

test('a driver comes up on its own address, with a secret, in a process session of its own', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const drivers = await openLocal(t, { stateFolder });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const [driver] = await drivers.source.list();
  t.is(driver?.condition, 'starting');
  const ready = await untilReady(drivers);
  t.like(ready, { resource: 'one', namespace: 'sjns-ads-dev' });
  t.true(ready.address.startsWith(`${NETWORK}.`));
  t.is(ready.token?.length, 43);
  const status = await readFile(`/proc/${pidOf(ready)}/stat`, 'utf8');
  t.is(Number(status.split(' ')[5]), pidOf(ready), 'it leads a session, so that it outlives us');
  const commandLine = await readFile(`/proc/${pidOf(ready)}/cmdline`, 'utf8');
  t.false(commandLine.includes(ready.token ?? '?'));
  const request = await stat(join(stateFolder, 'drivers', 'one', 'request.json'));
  t.is(request.mode & 0o077, 0);
  t.is((await stat(stateFolder)).mode & 0o077, 0);
});

test('asking twice for a driver makes one, and deleting twice is no error', async (t) => {
  const drivers = await openLocal(t, { stateFolder: await temporaryFolder(t) });
  await Promise.all([
    drivers.factory.create('one', 'sjns-ads-dev'),
    drivers.factory.create('one', 'sjns-ads-dev'),
  ]);
  await drivers.factory.create('one', 'sjns-ads-dev');
  t.is((await drivers.factory.list()).length, 1);
  const ready = await untilReady(drivers);
  await Promise.all([
    drivers.factory.delete('one', 'sjns-ads-dev'),
    drivers.factory.delete('one', 'sjns-ads-dev'),
  ]);
  await drivers.factory.delete('one', 'sjns-ads-dev');
  t.deepEqual(await drivers.source.list(), []);
  t.is(processId(pidOf(ready)), undefined);
});

test('a driver outlives the gateway and is found again with its identity and secret', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const known = await madeBefore(t, stateFolder);
  const after = await openLocal(t, { stateFolder });
  t.deepEqual(await after.source.list(), [known]);
  process.kill(pidOf(known), 'SIGKILL');
  const [ended] = await untilSeen(after, ([driver]) => driver?.condition === 'ended');
  t.is(ended?.uid, known.uid);
});

test('a driver that was asked for but not started before a crash is started', async (t) => {
  const stateFolder = await temporaryFolder(t);
  await askedBefore(stateFolder);
  const drivers = await openLocal(t, { stateFolder });
  t.like(await untilReady(drivers), { uid: 'uid-1', address: ADDRESS, token: 'secret' });
});

test('a driver that was started but not noted before a crash is adopted, not started again', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const known = await madeBefore(t, stateFolder);
  await rm(join(stateFolder, 'drivers', 'one', 'process.json'));
  const after = await openLocal(t, { stateFolder });
  t.deepEqual(await after.source.list(), [known]);
});

test('what a creation that was cut short left behind is removed', async (t) => {
  const stateFolder = await temporaryFolder(t);
  await askedBefore(stateFolder);
  await writeFile(join(stateFolder, 'drivers', 'one', 'request.json'), '{"resou');
  const drivers = await openLocal(t, { stateFolder });
  t.deepEqual(await drivers.factory.list(), []);
  await t.throwsAsync(stat(join(stateFolder, 'drivers', 'one')), { code: 'ENOENT' });
});

test('a process whose folder is gone is ended when the gateway comes back', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const known = await madeBefore(t, stateFolder);
  await rm(join(stateFolder, 'drivers'), { recursive: true });
  const after = await openLocal(t, { stateFolder });
  t.deepEqual(await after.source.list(), []);
  t.is(processId(pidOf(known)), undefined);
});

test('a driver that fails to start says why, in one line', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const makeCommand = standInCommand('fail');
  const drivers = await openLocal(t, { stateFolder, makeCommand });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const [ended] = await untilSeen(drivers, ([d]) => d?.reason?.includes('exit code') === true);
  const reason = 'The driver ended with exit code 1: its port is already in use.';
  t.like(ended, { condition: 'ended', reason });
  t.is((await drivers.factory.list())[0]?.failure, reason);
  await drivers.factory.delete('one', 'sjns-ads-dev');
  t.deepEqual(await drivers.factory.list(), []);
  const log = await readFile(join(stateFolder, 'logs', 'one.log'), 'utf8');
  t.true(log.includes('BindException'), 'its log stays for a while');
});

test('a Java that does not exist is named', async (t) => {
  const drivers = await openLocal(t, {
    stateFolder: await temporaryFolder(t),
    makeCommand: () => ({ file: '/nowhere/bin/java', args: [], env: {} }),
  });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const [ended] = await untilSeen(drivers, ([driver]) => driver?.condition === 'ended');
  t.regex(ended?.reason ?? '', /\/nowhere\/bin\/java is not a program. Set JAVA_HOME/);
});

test('a driver that does not want to end is killed', async (t) => {
  const drivers = await openLocal(t, {
    stateFolder: await temporaryFolder(t),
    makeCommand: standInCommand('stubborn'),
    graceMs: 50,
  });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const ready = await untilReady(drivers);
  const deletion = drivers.factory.delete('one', 'sjns-ads-dev');
  const seen: (string | undefined)[] = [];
  const stop = drivers.source.watch(() => {
    void drivers.source.list().then(([driver]) => driver && seen.push(driver.reason));
  });
  t.is((await drivers.source.list())[0]?.condition, 'terminating');
  await deletion;
  stop();
  // Its end is no failure: nobody reads an exit code.
  t.true(seen.every((reason) => /It is being ended|The gateway has ended it/.test(reason ?? '')));
  t.is(processId(pidOf(ready)), undefined);
});

test('what a driver has started ends with it', async (t) => {
  const drivers = await openLocal(t, {
    stateFolder: await temporaryFolder(t),
    makeCommand: standInCommand('with-worker'),
  });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const ready = await untilReady(drivers);
  const [worker] = await sessionMembers(pidOf(ready));
  t.truthy(worker);
  await drivers.factory.delete('one', 'sjns-ads-dev');
  t.is(processId(worker?.pid ?? 0)?.startTime === worker?.startTime, false);
});

test('stopping the drivers of one state folder leaves those of another alone', async (t) => {
  const [mine, theirs] = [await temporaryFolder(t), await temporaryFolder(t)];
  const here = await openLocal(t, { stateFolder: mine });
  const there = await openLocal(t, { stateFolder: theirs });
  await here.factory.create('one', 'sjns-ads-dev');
  await here.factory.create('two', 'sjns-ads-dev');
  await there.factory.create('one', 'sjns-ads-dev');
  await untilReady(here, 2);
  const other = await untilReady(there);
  here.close();
  t.is(await stopLocalDrivers(mine), 2);
  t.is(await stopLocalDrivers(mine), 0);
  t.truthy(processId(pidOf(other)));
  const again = await openLocal(t, { stateFolder: mine });
  t.deepEqual(await again.factory.list(), []);
});

test('only so many drivers start at a time; the others wait their turn', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const drivers = await openLocal(t, {
    stateFolder,
    makeCommand: standInCommand('mute'),
    startsAtOnce: 2,
  });
  for (const name of ['a', 'b', 'c']) await drivers.factory.create(name, 'sjns-ads-dev');
  const instances = (await drivers.source.list()).map(({ instance }) => instance !== '');
  t.deepEqual(instances, [true, true, false]);
  await drivers.factory.delete('a', 'sjns-ads-dev');
  const after = (await drivers.source.list()).map(({ instance }) => instance !== '');
  t.deepEqual(after, [true, true]);
});

test('an address is not used again soon, nor one whose port is taken', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const addressRange = `${NETWORK}.64/29`;
  const taken = createServer().listen(0, `${NETWORK}.66`);
  await new Promise((resolve) => taken.once('listening', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  const drivers = await openLocal(t, { stateFolder, addressRange, port });
  const addresses: string[] = [];
  for (let i = 0; i < 5; i += 1) {
    await drivers.factory.create(`driver-${i}`, 'sjns-ads-dev');
    addresses.push((await drivers.source.list())[0]?.address ?? '');
    await drivers.factory.delete(`driver-${i}`, 'sjns-ads-dev');
  }
  t.deepEqual(
    addresses.toSorted(),
    [65, 67, 68, 69, 70].map((last) => `${NETWORK}.${last}`),
  );
  await t.throwsAsync(drivers.factory.create('one-more', 'sjns-ads-dev'), {
    message: new RegExp(`No address of ${addressRange.replaceAll('.', '\\.')} is free`),
  });
});

test("a driver whose address another process answers at is not taken for that process's", async (t) => {
  const stateFolder = await temporaryFolder(t);
  const makeCommand = standInCommand('mute');
  const drivers = await openLocal(t, {
    stateFolder,
    addressRange: `${NETWORK}.72/29`,
    makeCommand,
  });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const [driver] = await drivers.source.list();
  const other = createHttp2Server();
  t.teardown(() => other.close());
  other.listen(driver?.port, driver?.address);
  const [seen] = await untilSeen(drivers, ([one]) => one?.reason?.includes('Another') === true);
  t.is(seen?.condition, 'starting');
  t.is(seen?.reason, `Another process answers at its address ${seen?.address}:${seen?.port}.`);
});

/** Ten times as fast: nobody waits for the pauses between probes. */
const quickClock: Clock = {
  ...systemClock,
  setTimer: (ms, callback) => systemClock.setTimer(ms / 10, callback),
};

test('a driver that hangs is not ready although its port accepts connections; then it is again', async (t) => {
  const stateFolder = await temporaryFolder(t);
  const drivers = await openLocal(t, {
    stateFolder,
    clock: quickClock,
    probe: (address, port) => http2Probe(address, port, 500),
  });
  await drivers.factory.create('one', 'sjns-ads-dev');
  const [driver] = await untilSeen(drivers, ([one]) => one?.condition === 'ready');
  const pid = Number(/^\d+/.exec(driver?.instance ?? '')?.[0]);
  process.kill(pid, 'SIGSTOP');
  t.teardown(() => process.kill(pid, 'SIGCONT'));
  const [hung] = await untilSeen(drivers, ([one]) => one?.condition === 'not_ready');
  t.regex(hung?.reason ?? '', /accepts connections and does not answer/);
  process.kill(pid, 'SIGCONT');
  await untilSeen(drivers, ([one]) => one?.condition === 'ready');
});

// Why a driver ended.

const cases: readonly [string, Parameters<typeof failureReason>, RegExp][] = [
  [
    'the port',
    ['x\njava.net.BindException: Address already in use: bind', { code: 1, signal: null }],
    /exit code 1: its port is already in use/,
  ],
  [
    'memory',
    ['Terminating due to java.lang.OutOfMemoryError: Java heap space', { code: 3, signal: null }],
    /it ran out of memory/,
  ],
  [
    'the machine’s memory',
    ['Could not reserve enough space for object heap', { code: 1, signal: null }],
    /too little free memory/,
  ],
  [
    'an old Java',
    ['java.lang.UnsupportedClassVersionError: class file version 61.0', { code: 1, signal: null }],
    /too old for this Spark .* set JAVA_HOME/,
  ],
  [
    'a Spark without Connect',
    ['Error: Could not find or load main class org.apache.spark.sql.X', { code: 1, signal: null }],
    /no Spark Connect server/,
  ],
  ['a full disk', ['java.io.IOException: No space left on device', undefined], /the disk is full/],
  ['anything else', ['INFO a\nERROR it broke\nINFO b', undefined], /ended: ERROR it broke$/],
  ['a kill', ['INFO all is well', { code: null, signal: 'SIGKILL' }], /SIGKILL, perhaps/],
  [
    'a request to end, not by an exception of before',
    ['ERROR a query failed: java.lang.Exception', { code: 143, signal: null }],
    /^The driver was asked to end \(SIGTERM\), by somebody else than the gateway\.$/,
  ],
  ['nothing', ['', undefined], /^The driver ended\.$/],
];

for (const [what, [log, exit], expected] of cases) {
  test(`the end of a driver is explained by ${what}`, (t) => {
    const reason = failureReason(log, exit);
    t.regex(reason, expected);
    t.false(reason.includes('\n'));
  });
}

// The class archive that makes starts faster.

/** A Spark that is nothing but its folders, and a Java that is a script. */
async function standIn(t: ExecutionContext, script: string): Promise<SparkCommandOptions> {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'jars'));
  await mkdir(join(folder, 'bin'));
  await writeFile(join(folder, 'jars', 'spark-connect_2.13-4.3.0.jar'), '');
  await writeFile(join(folder, 'bin', 'java'), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, 'bin', 'java'), 0o755);
  return { sparkHome: folder, javaHome: folder, fence: false };
}

async function make(
  t: ExecutionContext,
  spark: SparkCommandOptions,
  options: Partial<MakeClassArchiveOptions> = {},
) {
  const { folder = await temporaryFolder(t), ...more } = options;
  const made = await makeClassArchive({
    spark,
    folder,
    addressRange: await unusedRange(),
    clock: systemClock,
    log: pino({ enabled: false }),
    ...more,
  });
  return { made, left: await readdir(folder) };
}

/** A Java that comes up, and writes what it is asked for at its end if it can. */
function listening(canArchive: boolean): string {
  const program = `
    const option = (name) => process.argv.find((a) => a.startsWith(name))?.slice(name.length);
    const port = Number(option('-Dspark.connect.grpc.binding.port='));
    const address = option('-Dspark.connect.grpc.binding.address=');
    process.on('SIGTERM', () => {
      if (${canArchive}) require('node:fs').writeFileSync(option('-XX:ArchiveClassesAtExit='), '');
      process.exit(0);
    });
    require('node:http2').createServer().listen(port, address);`;
  return `exec '${process.execPath}' -e "$(cat <<'EOF'\n${program}\nEOF\n)" -- "$@"`;
}

test('an archive is made by a driver that comes up and ends, and is made once', async (t) => {
  const spark = await standIn(t, listening(true));
  const folder = await temporaryFolder(t);
  t.true((await make(t, spark, { folder })).made);
  const { made, left } = await make(t, spark, { folder, signal: AbortSignal.abort() });
  t.true(made, 'without another attempt');
  t.deepEqual(left, [basename(classArchivePath(folder, spark))]);
});

test('the driver is used while it answers, before the archive is written', async (t) => {
  const spark = await standIn(t, listening(true));
  const folder = await temporaryFolder(t);
  const { made } = await make(t, spark, {
    folder,
    async use({ address, port }) {
      t.is(await http2Probe(address, port, 10_000), undefined);
      t.deepEqual(await readdir(folder), ['making']);
    },
  });
  t.true(made);
});

test('a Java that can make no archive is not asked again', async (t) => {
  const spark = await standIn(t, listening(false));
  const folder = await temporaryFolder(t);
  t.false((await make(t, spark, { folder })).made);
  const { left } = await make(t, spark, { folder });
  t.deepEqual(left, [`${basename(classArchivePath(folder, spark))}.unavailable`]);
});

test('a Java that does not start is no error, and nothing is left of the attempt', async (t) => {
  t.deepEqual(await make(t, await standIn(t, 'exit 1')), { made: false, left: [] });
});

test('making an archive can be given up, and nothing is left of the attempt', async (t) => {
  const spark = await standIn(t, 'exec sleep 600');
  t.deepEqual(await make(t, spark, { signal: AbortSignal.abort() }), { made: false, left: [] });
});

test('an archive belongs to one Spark and one Java', async (t) => {
  const spark = await standIn(t, 'exit 1');
  const path = classArchivePath('/cache', spark);
  t.is(classArchivePath('/cache', { ...spark }), path);
  await writeFile(join(spark.sparkHome, 'jars', 'another.jar'), '');
  t.not(classArchivePath('/cache', spark), path);
  const other = await standIn(t, 'exit 2');
  t.not(
    classArchivePath('/cache', { ...spark, javaHome: other.javaHome ?? '' }),
    classArchivePath('/cache', spark),
  );
});
