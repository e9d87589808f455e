import test from 'ava';
import * as fc from 'fast-check';
import { compileGlob } from '../../src/policy/name-patterns.js';

const cases: readonly (readonly [string, string, boolean])[] = [
  ['data', 'data', true],
  ['data', 'data2', false],
  ['*', '', true],
  ['ml-*', 'ml-', true],
  ['ml-*', 'xml-a', false],
  ['*-dev', 'a-dev', true],
  ['a*a', 'a', false],
  ['a*b*c', 'abxbc', true],
  ['a*b*c', 'acb', false],
  ['*bc*cd*', 'abcd', false],
  ['a.c', 'abc', false],
];
for (const [pattern, name, expected] of cases) {
  test(`${pattern} ${expected ? 'matches' : 'does not match'} "${name}"`, (t) => {
    t.is(compileGlob(pattern).matches(name), expected);
  });
}

test('a pattern matches what its regular expression matches', (t) => {
  const pattern = fc.stringMatching(/^[ab*]{0,6}$/);
  const name = fc.stringMatching(/^[ab]{0,8}$/);
  fc.assert(
    fc.property(pattern, name, (glob, text) => {
      const expected = new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(text);
      t.is(compileGlob(glob).matches(text), expected);
    }),
  );
});
