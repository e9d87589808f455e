import test from 'ava';
import * as fc from 'fast-check';
import { diffLines } from '../../../src/console/page/text-diff.js';

const texts = fc
  .array(fc.constantFrom('a', 'b', 'c', '', 'rule'), { maxLength: 12 })
  .map((lines) => lines.join('\n'));

test('a difference holds both texts, with their line numbers, and no needless change', (t) => {
  fc.assert(
    fc.property(texts, texts, (before, after) => {
      const lines = diffLines(before, after);
      const side = (left: 'removed' | 'added') =>
        lines.filter(({ kind }) => kind === 'same' || kind === left);
      t.is(
        side('removed')
          .map(({ text }) => text)
          .join('\n'),
        before,
      );
      t.is(
        side('added')
          .map(({ text }) => text)
          .join('\n'),
        after,
      );
      t.true(side('removed').every((line, at) => line.before === at + 1));
      t.true(side('added').every((line, at) => line.after === at + 1));
      const same = lines.filter(({ kind }) => kind === 'same').length;
      t.is(same, longestCommon(before.split('\n'), after.split('\n')));
    }),
    { numRuns: 500 },
  );
});

/** Length of the longest common subsequence, by the textbook's table. */
function longestCommon(a: readonly string[], b: readonly string[]): number {
  let row = Array.from({ length: b.length + 1 }, () => 0);
  for (const one of a) {
    const next = [0];
    for (const [at, other] of b.entries()) {
      next.push(one === other ? (row[at] ?? 0) + 1 : Math.max(row[at + 1] ?? 0, next[at] ?? 0));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

test('texts without a line in common are shown as removed and added, also large ones', (t) => {
  const before = Array.from({ length: 6_000 }, (_, at) => `old ${at}`).join('\n');
  const after = Array.from({ length: 6_000 }, (_, at) => `new ${at}`).join('\n');
  const lines = diffLines(before, after);
  t.is(lines.length, 12_000);
});
