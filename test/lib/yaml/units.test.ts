import test from 'ava';
import { duration, size } from '../../../src/lib/yaml/text-types.js';

const durations: readonly (readonly [string, number | undefined])[] = [
  ['0', 0],
  ['0s', 0],
  ['500ms', 500],
  ['30s', 30_000],
  ['1h30m', 5_400_000],
  ['1d', 86_400_000],
  ['30', undefined],
  ['1.5h', undefined],
  ['30m1h', undefined],
  ['5s5s', undefined],
  ['-5s', undefined],
  ['5 s', undefined],
  ['1000d', undefined],
  ['', undefined],
];
for (const [text, expected] of durations) {
  test(`"${text}" as a duration`, (t) => {
    t.is(duration('0').parse(text, ''), expected);
  });
}

const sizes: readonly (readonly [string, number | undefined])[] = [
  ['1B', 1],
  ['512KiB', 524_288],
  ['2GiB', 2_147_483_648],
  ['2GB', undefined],
  ['2', undefined],
  ['999999999TiB', undefined],
];
for (const [text, expected] of sizes) {
  test(`"${text}" as a size`, (t) => {
    t.is(size('0B').parse(text, ''), expected);
  });
}

test('the ends of a range are allowed, what lies beyond is not', (t) => {
  const type = duration('1s', '1m');
  t.deepEqual(
    ['999ms', '1s', '1m', '61s'].map((text) => type.parse(text, '')),
    [undefined, 1000, 60_000, undefined],
  );
});
