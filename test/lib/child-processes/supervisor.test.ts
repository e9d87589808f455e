import { execFileSync } from 'node:child_process';
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
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { pino } from 'pino';
import { Supervisor } from '../../../src/lib/child-processes/supervisor.js';
import { ManualClock } from '../../support/manual-clock.js';
import { isAlive, processEnded } from '../../support/process-ended.js';
import { Signal } from '../../support/signal.js';

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
  t.false(isAlive(third));
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
  t.true(isAlive(pid));
  t.is(readdirSync(join(stateDir, 'logs')).length, 2);
  closeSync(talk);
  await subject.stop();
});

function fifo(folder: string): string {
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}
