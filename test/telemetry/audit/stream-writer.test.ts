import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Destination } from '../../../src/telemetry/audit/destination.js';
import { StreamWriter } from '../../../src/telemetry/audit/stream-writer.js';
import { systemClock } from '../../../src/model/clock.js';
import {
  CountedAudit,
  destinationOptions,
  numbered,
  numbersIn,
} from '../../support/audit-lines.js';
import { settle } from '../../support/manual-clock.js';

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'audit-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

test('a pipe that nobody reads holds nothing up: records wait, then are dropped and counted; read again, it gets whole lines', async (t) => {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(path, constants.O_WRONLY);
  t.teardown(() => [reader, fd].forEach((open) => closeSync(open)));
  const metrics = new CountedAudit();
  const destination = new Destination(
    destinationOptions({
      writer: new StreamWriter(fd, systemClock),
      clock: systemClock,
      metrics,
      queueBytes: 64 * 1024,
    }),
  );
  const COUNT = 5_000;
  for (let n = 1; n <= COUNT; n += 1) {
    destination.push(numbered(n));
    if (n % 100 === 0) await settle();
  }
  t.true(metrics.drops.queue_full > 0);
  let text = '';
  const buffer = Buffer.alloc(64 * 1024);
  const drain = () => {
    try {
      text += buffer.toString('utf8', 0, readSync(reader, buffer));
    } catch {
      // Nothing there now.
    }
  };
  const arrived = () => numbersIn(text.slice(0, text.lastIndexOf('\n') + 1));
  while (metrics.writtenCount < COUNT - metrics.drops.queue_full) {
    drain();
    await settle();
  }
  drain();
  const numbers = arrived().filter((entry) => typeof entry === 'number');
  t.is(numbers.length, COUNT - metrics.drops.queue_full);
  t.true(text.endsWith('\n'));
});

test('a file that standard output leads to gets every line', async (t) => {
  const path = join(folder(t), 'log');
  const fd = openSync(path, 'w');
  t.teardown(() => closeSync(fd));
  const writer = new StreamWriter(fd, systemClock);
  await writer.write([1, 2, 3].map((n) => numbered(n, 3_000)));
  await writer.write([numbered(4)]);
  t.deepEqual(numbersIn(readFileSync(path, 'utf8')), [1, 2, 3, 4]);
});
