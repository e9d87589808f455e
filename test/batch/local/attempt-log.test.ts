/** The log of a local attempt: stamps, bounds, turning over, and readers that miss nothing. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { assert, asyncProperty, constantFrom, array, string } from 'fast-check';
import {
  AttemptLogReader,
  AttemptLogWriter,
  stampSource,
  type StampedLine,
} from '../../../src/batch/local/attempt-log.js';
import { hasEnded, jobToRun, logOf, openLocalBatch, untilJob } from '../../support/local-batch.js';
import { temporaryFolder } from '../../support/local-world.js';

async function all(reader: AttemptLogReader): Promise<string[]> {
  const texts: string[] = [];
  for (;;) {
    const lines = await reader.next();
    if (lines.length === 0) return texts;
    texts.push(...lines.map(({ text }: StampedLine) => text));
  }
}

test('no two lines have one time, and later ones have later times', (t) => {
  const stamp = stampSource();
  const stamps = Array.from({ length: 10_000 }, stamp);
  t.deepEqual(stamps, stamps.toSorted());
  t.is(new Set(stamps).size, stamps.length);
  const differenceMs = Math.abs(Date.parse(stamps.at(-1) ?? '') - Date.now());
  t.true(differenceMs < 1_000, `${differenceMs}`);
});

test('whatever the chunks, lines come out as they went in', async (t) => {
  const folder = await temporaryFolder(t);
  let count = 0;
  await assert(
    asyncProperty(
      array(string({ unit: 'grapheme' })),
      constantFrom(1, 3, 1000),
      async (texts, size) => {
        const lines = texts.map((text) => text.replaceAll(/[\r\n\u2028\u2029]/g, ' '));
        const path = join(folder, `log-${(count += 1)}`);
        const log = new AttemptLogWriter(path, 2 ** 20);
        const stream = log.stream();
        const content = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        for (let i = 0; i < content.length; i += size) stream.write(content.subarray(i, i + size));
        stream.end();
        log.close();
        const reader = new AttemptLogReader(path);
        t.deepEqual(
          await all(reader),
          lines.map((line) => Buffer.from(line).toString()),
        );
        await reader.close();
      },
    ),
    { numRuns: 50 },
  );
});

test('it stays within its bounds, and one who follows reads on where it turns over', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'log');
  const log = new AttemptLogWriter(path, 4_000);
  const reader = new AttemptLogReader(path);
  const stream = log.stream();
  const read: string[] = [];
  for (let i = 0; i < 200; i += 1) {
    stream.write(Buffer.from(`line ${i}\n`));
    if (i % 10 === 0) read.push(...(await all(reader)));
  }
  read.push(...(await all(reader)));
  await reader.close();
  t.deepEqual(
    read,
    Array.from({ length: 200 }, (_, i) => `line ${i}`),
  );
  t.deepEqual(readdirSync(folder).toSorted(), ['log', 'log.1']);
  t.true(statSync(path).size + statSync(`${path}.1`).size <= 4_000);
  const late = new AttemptLogReader(path);
  const left = await all(late);
  await late.close();
  t.deepEqual(left, read.slice(-left.length));
  t.true(left.length > 20);
});

test('a line without an end goes on in the next when it is very long', async (t) => {
  const path = join(await temporaryFolder(t), 'log');
  const log = new AttemptLogWriter(path, 2 ** 20);
  const stream = log.stream();
  stream.write(Buffer.from('x'.repeat(40_000)));
  stream.end();
  const reader = new AttemptLogReader(path);
  t.deepEqual(
    (await all(reader)).map(({ length }) => length),
    [16_384, 16_384, 7_232],
  );
  await reader.close();
});

test('a log that cannot be written costs its lines and nothing else', (t) => {
  const log = new AttemptLogWriter('/proc/no/such/folder/log', 1_000);
  t.notThrows(() => {
    log.say('x');
    log.close();
  });
});

test("of a job's log one gets the end, or what came since a time", async (t) => {
  const batch = await openLocalBatch(t, { stateFolder: await temporaryFolder(t) });
  await batch.create(jobToRun('job-a', 'chatty 3000'));
  await untilJob(batch, 'job-a', hasEnded);
  const whole = await logOf(batch, 'job-a');
  t.is(whole.length, 3002);
  t.is(whole.filter(({ text }) => text === 'last words without an end').length, 1);
  t.deepEqual(await logOf(batch, 'job-a', { tail: 3 }), whole.slice(-3));
  t.deepEqual(await logOf(batch, 'job-a', { tail: 0 }), []);
  const since = whole[2_990]?.time ?? '';
  t.deepEqual(await logOf(batch, 'job-a', { since, follow: true }), whole.slice(2_990));
});
