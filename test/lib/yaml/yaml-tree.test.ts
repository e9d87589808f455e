import test from 'ava';
import { parseYaml } from '../../../src/lib/yaml/yaml-tree.js';
import { formatProblems } from '../../../src/lib/yaml/problem.js';

const cases: readonly (readonly [string, string])[] = [
  ['a: 1\nb: 2\na: 3\n', 'f.yaml:3:1: this key is given twice'],
  ['a: &x 1\nb: *x\n', 'f.yaml:2:4: aliases (*name) are not supported; write the value out'],
  ['? [a]\n: 1\n', 'f.yaml:1:3: a key must be plain text'],
  [
    'a: 1\n---\nb: 2\n',
    'f.yaml:2:1: only one document is allowed: remove this --- and what follows',
  ],
];
for (const [text, expected] of cases) {
  test(`${JSON.stringify(text)}: ${expected}`, (t) => {
    t.is(formatProblems(parseYaml(text, 'f.yaml').problems), expected);
  });
}

test('text stays text, with its place; nothing is nothing', (t) => {
  const { value, problems } = parseYaml('a: 007\nb: "null"\nc: null\nd:\n', 'f.yaml');
  t.deepEqual(problems, []);
  t.deepEqual(
    value.kind === 'map' &&
      value.entries.map((entry) => [
        entry.key,
        entry.value.kind,
        entry.value.kind === 'text' ? entry.value.text : undefined,
        entry.value.place.line,
      ]),
    [
      ['a', 'text', '007', 1],
      ['b', 'text', 'null', 2],
      ['c', 'nothing', undefined, 3],
      ['d', 'nothing', undefined, 4],
    ],
  );
});

test('a file that breaks off is not well formed', (t) => {
  t.false(parseYaml('a: [1', 'f.yaml').wellFormed);
  t.true(parseYaml('', 'f.yaml').wellFormed);
});
