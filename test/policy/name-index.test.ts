import test from 'ava';
import * as fc from 'fast-check';
import { NameSet, NameIndex } from '../../src/policy/name-patterns.js';

test('a name leads to what trying every name and pattern leads to', (t) => {
  const pattern = fc.stringMatching(/^[ab*]{1,9}$/);
  const sets = fc.array(fc.array(pattern, { maxLength: 3 }), { maxLength: 12 });
  const name = fc.stringMatching(/^[ab]{0,8}$/);
  fc.assert(
    fc.property(sets, name, (all, wanted) => {
      const index = new NameIndex<number>();
      for (const [i, patterns] of all.entries()) index.add(new NameSet(patterns), i);
      const expected = all.flatMap((patterns, i) =>
        new NameSet(patterns).matches(wanted) ? [i] : [],
      );
      const found = new Set<number>();
      index.find([wanted], found);
      t.deepEqual(
        [...found].toSorted((a, b) => a - b),
        expected,
      );
    }),
  );
});

test('as many patterns of one end as fit into a policy are taken in one go', (t) => {
  // Each was added to a copy of those before it: this took minutes.
  const patterns = Array.from({ length: 150_000 }, (_, i) => `*${i}*same`);
  const index = new NameIndex<string>();
  index.add(new NameSet(patterns), 'all');
  const found = new Set<string>();
  index.find(['x149999xsame'], found);
  t.deepEqual([...found], ['all']);
});
