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
import * as fc from 'fast-check';
import { systemClock } from '../../../src/model/clock.js';
import {
  type AuditLine,
  type AuditWriter,
  Destination,
  type NotTaken,
} from '../../../src/telemetry/audit/destination.js';
import { StreamWriter } from '../../../src/telemetry/audit/stream-writer.js';
import {
  CountedAudit,
  destinationOptions,
  numbered,
  numbersIn,
} from '../../support/audit-lines.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { tries } from '../../support/tries.js';

// The destination.

/** Writes when it is let, or fails when it is told to. */
class GatedWriter implements AuditWriter {
  text = '';
  closed = false;
  failures = 0;
  #gate: (() => void) | undefined;
  #open = true;

  shut(): void {
    this.#open = false;
  }
  open(): void {
    this.#open = true;
    this.#gate?.();
  }
  async write(batch: readonly AuditLine[]): Promise<NotTaken> {
    if (!this.#open) await new Promise<void>((resolve) => (this.#gate = resolve));
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('disk full');
    }
    this.text += batch.map(({ line }) => line).join('');
    return {};
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

function setUp(queueBytes = 1 << 20, lingerMs = 0) {
  const clock = new ManualClock();
  const writer = new GatedWriter();
  const metrics = new CountedAudit();
  const destination = new Destination(
    destinationOptions({ writer, clock, metrics, queueBytes, lingerMs }),
  );
  return { clock, writer, metrics, destination };
}

test('records are written in their order', async (t) => {
  const { destination, writer } = setUp();
  for (const n of [1, 2, 3]) destination.push(numbered(n));
  await settle();
  t.deepEqual(numbersIn(writer.text), [1, 2, 3]);
});

test('while a destination does not take records they wait up to the limit, further ones are dropped, counted and told of', async (t) => {
  const bytes = numbered(1).bytes;
  const { destination, writer, metrics } = setUp(bytes * 3);
  writer.shut();
  for (const n of [1, 2, 3, 4, 5]) destination.push(numbered(n));
  await settle();
  t.is(metrics.drops.queue_full, 2);
  t.is(metrics.state?.queuedBytes(), bytes * 3);
  writer.open();
  await settle();
  destination.push(numbered(6));
  await settle();
  t.deepEqual(numbersIn(writer.text), [1, 2, 3, 'lost 2', 6]);
  t.is(metrics.state?.queuedBytes(), 0);
});

test('a failed write is tried again with growing pauses, and what came meanwhile follows', async (t) => {
  const { destination, writer, metrics, clock } = setUp();
  writer.failures = 3;
  destination.push(numbered(1));
  await settle();
  t.true(metrics.state?.failing());
  destination.push(numbered(2));
  await clock.advance(99);
  t.is(writer.failures, 2);
  await clock.advance(1 + 200);
  t.is(writer.failures, 0);
  t.is(writer.text, '');
  await clock.advance(400);
  t.deepEqual(numbersIn(writer.text), [1, 2]);
  t.false(metrics.state?.failing());
});

test('a record waits for company, but a full batch does not', async (t) => {
  const { destination, writer, clock } = setUp(1 << 20, 1_000);
  destination.push(numbered(1));
  await clock.advance(999);
  t.is(writer.text, '');
  await clock.advance(1);
  t.deepEqual(numbersIn(writer.text), [1]);
  for (let n = 2; n <= 1_200; n += 1) destination.push(numbered(n));
  await settle();
  t.is(numbersIn(writer.text).length, 1 + 2 * 512);
  await clock.advance(1_000);
  t.is(numbersIn(writer.text).length, 1_200);
});

test('records that do not fit are no reason to wait for company', async (t) => {
  const { destination, writer, metrics } = setUp(numbered(1).bytes * 3, 1_000);
  for (const n of [1, 2, 3, 4]) destination.push(numbered(n));
  await settle();
  t.is(metrics.drops.queue_full, 1);
  t.deepEqual(numbersIn(writer.text), [1, 2, 3, 'lost 1']);
});

test('at the end what waits is written', async (t) => {
  const { destination, writer } = setUp();
  for (const n of [1, 2, 3]) destination.push(numbered(n));
  await destination.close(1000);
  t.deepEqual(numbersIn(writer.text), [1, 2, 3]);
  t.true(writer.closed);
});

test('at the end a destination that takes nothing is left after the limit, and what it did not take is counted', async (t) => {
  const { destination, writer, metrics, clock } = setUp();
  writer.shut();
  for (const n of [1, 2, 3]) destination.push(numbered(n));
  await settle();
  const closed = destination.close(1000);
  await clock.advance(1000);
  await closed;
  destination.push(numbered(4));
  t.is(metrics.drops.shutdown, 4);
});

test('whatever a destination does, every record is written once and in order, or counted as dropped', async (t) => {
  const action = fc.oneof(
    { weight: 6, arbitrary: fc.record({ push: fc.integer({ min: 0, max: 400 }) }) },
    fc.constant('shut' as const),
    fc.constant('open' as const),
    fc.constant('fail' as const),
    { weight: 2, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 20_000 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 60 }),
      fc.constantFrom(0, 500),
      async (actions, lingerMs) => {
        const { destination, writer, metrics, clock } = setUp(2_000, lingerMs);
        let pushed = 0;
        for (const step of actions) {
          if (step === 'shut') writer.shut();
          else if (step === 'open') writer.open();
          else if (step === 'fail') writer.failures += 1;
          else if ('push' in step) destination.push(numbered(++pushed, step.push));
          else await clock.advance(step.pass);
          t.true((metrics.state?.queuedBytes() ?? 0) <= 2_000);
        }
        writer.open();
        await clock.advance(200_000);
        const closed = destination.close(1000);
        await clock.advance(1000);
        await closed;
        const numbers = numbersIn(writer.text).filter((entry) => typeof entry === 'number');
        t.deepEqual(
          numbers,
          numbers.toSorted((a, b) => a - b),
        );
        t.is(new Set(numbers).size, numbers.length);
        t.is(numbers.length + metrics.drops.queue_full + metrics.drops.shutdown, pushed);
      },
    ),
    { numRuns: tries(60) },
  );
});

// A stream.

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
