import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { startTethered } from '../../../src/lib/child-processes/tether.js';
import { processEnded } from '../../support/process-ended.js';

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
  const module = new URL('../../../src/lib/child-processes/tether.js', import.meta.url).href;
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
