import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { pino } from 'pino';
import { isAlive, processId } from '../../src/lib/child-processes/proc.js';
import { Supervisor } from '../../src/lib/child-processes/supervisor.js';
import { startTethered } from '../../src/lib/child-processes/tether.js';
import { ManualClock } from '../support/manual-clock.js';
import { isAlive as lives, processEnded } from '../support/process-ended.js';
import { Signal } from '../support/signal.js';

// Processes as the kernel tells of them.

test('a process is told from one that has ended and from a later one of its id', (t) => {
  const own = processId(process.pid);
  t.truthy(own);
  t.true(own && isAlive(own));
  t.false(isAlive({ pid: process.pid, startTime: '1' }));
  t.is(processId(2 ** 22 + 1), undefined);
});

test('with no file descriptor left nobody is taken for ended', async (t) => {
  const driver = fileURLToPath(
    new URL('../../src/discovery/local/local-driver.js', import.meta.url),
  );
  const proc = fileURLToPath(new URL('../../src/lib/child-processes/proc.js', import.meta.url));
  const script = `
    import { openSync } from 'node:fs';
    import { LocalDriver } from ${JSON.stringify(driver)};
    import { processId } from ${JSON.stringify(proc)};
    const own = processId(process.pid);
    const folders = { log: () => '/nowhere' };
    const driver = new LocalDriver({}, folders, own);
    const ended = new LocalDriver({}, folders, { ...own, startTime: '1' });
    try { for (;;) openSync('/dev/null'); } catch {}
    console.log(driver.isLive(), ended.isLive());
    process.exit();`;
  const { stdout } = await promisify(execFile)('/bin/sh', [
    '-c',
    'ulimit -n 64; exec "$0" --input-type=module -e "$1"',
    process.execPath,
    script,
  ]);
  t.is(stdout.trim(), 'true true');
});

/** Its first thread ends, which makes the process a zombie; another one tells of that and goes on. */
const WITHOUT_ITS_FIRST_THREAD = `
import ctypes, threading, time

def tell():
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    print("zombie", flush=True)
    time.sleep(600)

threading.Thread(target=tell).start()
ctypes.CDLL(None).pthread_exit(None)
`;

test('a process lives until its last thread has ended', async (t) => {
  const child = spawn('python3', ['-c', WITHOUT_ITS_FIRST_THREAD], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = child.pid ?? 0;
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const id = processId(pid);
  t.truthy(id);
  t.true(id && isAlive(id));

  child.kill('SIGKILL');
  await processEnded(pid);
  t.false(id && isAlive(id));
});

// The supervisor.

function supervisor() {
  const stateDir = mkdtempSync(join(tmpdir(), 'supervisor-'));
  const clock = new ManualClock();
  const started = new Signal<number>();
  const ended = new Signal<number>();
  const logger = pino(
    { base: null },
    {
      write(line: string) {
        const entry = JSON.parse(line) as { msg: string; pid?: number };
        if (entry.msg === 'child started') started.emit(entry.pid ?? 0);
      },
    },
  );
  return {
    clock,
    started,
    ended,
    stateDir,
    subject: new Supervisor({
      stateDir,
      clock,
      logger,
      stopTimeoutMs: 5000,
      onUnexpectedEnd: (_name, status) => ended.emit(status),
    }),
  };
}

test('a child that was killed is started again, later each time', async (t) => {
  const { subject, clock, started, ended } = supervisor();
  subject.run({ name: 'sleeper', command: 'sleep', args: ['600'], env: process.env });

  const first = await started.next();
  process.kill(first, 'SIGKILL');
  t.is(await ended.next(), 137);
  await clock.advance(500);
  const second = await started.next();
  t.not(second, first);

  process.kill(second, 'SIGKILL');
  await ended.next();
  await clock.advance(999);
  t.is(started.waiting, 0);
  await clock.advance(1);
  const third = await started.next();

  await subject.stop();
  t.false(lives(third));
});

test('stop ends every child, also one that ignores the request', async (t) => {
  const { subject, clock, started, stateDir } = supervisor();
  subject.run({ name: 'meek', command: 'sleep', args: ['600'], env: process.env });
  const meek = await started.next();
  subject.run({
    name: 'stubborn',
    command: 'sh',
    args: ['-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'],
    env: process.env,
  });
  const stubborn = await started.next();
  t.is(readFileSync(join(stateDir, 'run', 'stubborn.pid'), 'utf8').trim(), String(stubborn));

  const stopped = subject.stop();
  await clock.advance(5000);
  await stopped;
  await processEnded(meek);
  await processEnded(stubborn);
  t.pass();
});

test('a log that grows large is put aside while its child runs on, and stays bounded', async (t) => {
  const { subject, clock, started, stateDir } = supervisor();
  const log = join(stateDir, 'logs', 'talker.log');
  const large = 17 * 1024 * 1024;
  subject.run({
    name: 'talker',
    command: 'sh',
    args: ['-c', 'while read -r _; do echo more; done < "$FIFO"'],
    env: { ...process.env, FIFO: fifo(stateDir) },
  });
  const pid = await started.next();
  const talk = openSync(join(stateDir, 'fifo'), 'w');
  for (const round of [1, 2]) {
    writeFileSync(log, Buffer.alloc(large, 'x'), { flag: 'a' });
    await clock.advance(5_000);
    t.true(statSync(`${log}.1`).size >= large, `round ${round}`);
    t.true(statSync(log).size < 1024);
  }
  writeSync(talk, 'go\n');
  while (statSync(log).size === 0) await setImmediate();
  t.is(readFileSync(log, 'utf8'), 'more\n');
  t.true(lives(pid));
  t.is(readdirSync(join(stateDir, 'logs')).length, 2);
  closeSync(talk);
  await subject.stop();
});

function fifo(folder: string): string {
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

// The tether.

function logFile(): string {
  return join(mkdtempSync(join(tmpdir(), 'tether-')), 'child.log');
}

test('a released child is asked to end and its exit status is told', async (t) => {
  const child = startTethered({
    command: 'sh',
    args: ['-c', 'trap "exit 9" TERM; echo up >&2; while :; do sleep 0.05; done'],
    env: process.env,
    logFile: logFile(),
  });
  const pid = await child.pid;
  child.release();
  const status = await child.ended;
  // The TERM may come before the trap is set: then it is the signal that ended it.
  t.true(status === 9 || status === 143);
  await processEnded(pid);
});

test('a child that ends by itself is noticed, with its output in the log', async (t) => {
  const log = logFile();
  const child = startTethered({
    command: 'sh',
    args: ['-c', 'echo hello; exit 7'],
    env: process.env,
    logFile: log,
  });
  t.is(await child.ended, 7);
  t.is(readFileSync(log, 'utf8'), 'hello\n');
});

test('a command that does not exist ends with 127', async (t) => {
  const child = startTethered({
    command: '/nonexistent/envoy',
    args: [],
    env: process.env,
    logFile: logFile(),
  });
  t.is(await child.ended, 127);
});

/** A parent that is killed as soon as its child runs. Returns the child's pid. */
async function killedParentOf(command: string, args: readonly string[]): Promise<number> {
  const module = new URL('../../src/lib/child-processes/tether.js', import.meta.url).href;
  const options = { command, args, logFile: logFile(), graceMs: 1000 };
  const parent = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { startTethered } from ${JSON.stringify(module)};
       const child = startTethered({ ...${JSON.stringify(options)}, env: process.env });
       console.log(await child.pid);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  for await (const line of createInterface({ input: parent.stdout })) {
    const pid = Number(line);
    if (args.includes('hang')) process.kill(pid, 'SIGSTOP');
    parent.kill('SIGKILL');
    return pid;
  }
  throw new Error('the parent told no pid');
}

test('a child does not outlive a parent that is killed', async (t) => {
  const pid = await killedParentOf('sleep', ['600']);
  t.true(pid > 0);
  await processEnded(pid);
});

test('nor does one that hangs, or that does not listen', async (t) => {
  const hanging = await killedParentOf('sh', ['-c', 'sleep 600', 'hang']);
  const deaf = await killedParentOf('sh', ['-c', 'trap "" TERM; while :; do sleep 0.1; done']);
  t.true(hanging > 0 && deaf > 0);
  await processEnded(hanging);
  await processEnded(deaf);
});

test('a child that is released and does not listen is killed after its grace', async (t) => {
  const child = startTethered({
    command: 'sh',
    args: ['-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done'],
    env: process.env,
    logFile: logFile(),
    graceMs: 1000,
  });
  const pid = await child.pid;
  process.kill(pid, 'SIGSTOP');
  child.release();
  t.is(await child.ended, 137);
  await processEnded(pid);
});
