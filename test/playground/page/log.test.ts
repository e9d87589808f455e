import test from 'ava';
import * as fc from 'fast-check';
import { EventStreamParser } from '../../../src/playground/page/event-stream.js';
import { appended, EMPTY_LOG, LOG_LIMITS } from '../../../src/playground/page/log-buffer.js';

test('events are the same wherever the stream is cut, with every kind of line end', (t) => {
  const ends = fc.constantFrom('\n', '\r\n', '\r');
  fc.assert(
    fc.property(ends, fc.array(fc.nat(200), { maxLength: 8 }), (end, cuts) => {
      const stream = [
        ': heartbeat',
        'retry: 50',
        '',
        'event: log',
        'id: 7',
        'data: ["a: b","ü"]',
        '',
        'data:one',
        'data: two',
        '',
        'event: nothing',
        '',
        'event: end',
        'data: {}',
        '',
        'data: cut',
      ].join(end);
      const parser = new EventStreamParser();
      const places = [
        0,
        ...cuts.map((cut) => Math.min(cut, stream.length)),
        stream.length,
      ].toSorted((a, b) => a - b);
      const events = places.flatMap((place, n) =>
        parser.push(stream.slice(place, places[n + 1] ?? stream.length)),
      );
      t.deepEqual(events, [
        { name: 'log', data: '["a: b","ü"]', id: '7' },
        { name: 'message', data: 'one\ntwo', id: undefined },
        { name: 'end', data: '{}', id: undefined },
      ]);
      t.is(parser.retryMs, 50);
    }),
  );
});

const limits = { lines: 100, characters: 5_000, blockLines: 10 };

test('a log keeps its last lines, in order, however they come', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(45), { maxLength: 20 }), (sizes) => {
      let log = EMPTY_LOG;
      let written = 0;
      for (const size of sizes) {
        log = appended(
          log,
          Array.from({ length: size }, () => `line ${(written += 1)}`),
          limits,
        );
      }
      const lines = log.blocks.flatMap(({ text }) => text.split('\n').slice(0, -1));
      t.is(lines.length, log.lines);
      t.true(log.lines <= limits.lines && log.lines >= Math.min(written, limits.lines - 10));
      t.is(log.dropped, written > log.lines);
      t.deepEqual(
        lines,
        lines.map((_, at) => `line ${written - lines.length + at + 1}`),
      );
      t.is(new Set(log.blocks.map(({ key }) => key)).size, log.blocks.length);
    }),
  );
});

test('what is drawn already stays the same while lines are added', (t) => {
  const before = appended(
    EMPTY_LOG,
    Array.from({ length: 25 }, (_, n) => `${n}`),
    limits,
  );
  const after = appended(before, ['more'], limits);
  t.is(after.blocks[0], before.blocks[0]);
  t.is(after.blocks[1], before.blocks[1]);
  t.is(after.blocks[2]?.key, before.blocks[2]?.key);
});

test('few long lines are bounded as well, and a single one is cut', (t) => {
  let log = EMPTY_LOG;
  for (let n = 0; n < 60; n += 1) log = appended(log, ['x'.repeat(1_000_000)]);
  const characters = log.blocks.reduce((sum, { text }) => sum + text.length, 0);
  t.true(characters <= LOG_LIMITS.characters);
  t.regex(log.blocks.at(-1)?.text ?? '', /x…\n$/);
});

test('codes for terminals are left out', (t) => {
  const log = appended(EMPTY_LOG, ['\u001b[31mERROR\u001b[0m a\tb\u0007\u0000']);
  t.is(log.blocks[0]?.text, 'ERROR a\tb\n');
});
