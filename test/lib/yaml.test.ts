import test from 'ava';
import { didYouMean, formatProblems, suggest } from '../../src/lib/yaml/problem.js';
import { duration, size } from '../../src/lib/yaml/text-types.js';
import { parseYaml } from '../../src/lib/yaml/yaml-tree.js';

// Trees.

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

test('a document of brackets alone is refused where it becomes too deep: what reads on would end the process', (t) => {
  for (const text of ['['.repeat(30_000), '{a: '.repeat(30_000), '- '.repeat(30_000)]) {
    const { problems, wellFormed } = parseYaml(text, 'f.yaml');
    t.false(wellFormed);
    t.regex(
      formatProblems(problems),
      /^f\.yaml:1:\d+: lists and maps are nested more than 100 deep/,
    );
  }
  const deep = `${'['.repeat(99)}x${']'.repeat(99)}`;
  t.deepEqual(parseYaml(deep, 'f.yaml').problems, []);
});

test('thousands of equal keys, mistakes or documents take no long time, and not all are told', (t) => {
  for (const text of ['a: 1\n'.repeat(20_000), '] '.repeat(20_000), '--- x\n'.repeat(20_000)]) {
    const { problems } = parseYaml(text, 'f.yaml');
    t.true(problems.length > 0 && problems.length <= 1000);
  }
});

test('more than so many signs are refused before they are read', (t) => {
  const { problems } = parseYaml('[1, 2, 3]', 'f.yaml', { mostTokens: 5 });
  t.regex(formatProblems(problems), /more than 5 signs/);
  t.deepEqual(parseYaml('[1, 2, 3]', 'f.yaml', { mostTokens: 50 }).problems, []);
});

test('in detail, each value says its path and where its text begins', (t) => {
  const { value } = parseYaml('a:\n  - "b c": |\n      x\n', 'f.yaml', { detailed: true });
  t.like(value, {
    entries: [
      {
        place: { path: 'a' },
        value: {
          items: [
            {
              place: { path: 'a[0]' },
              entries: [
                {
                  place: { path: 'a[0]["b c"]' },
                  value: { first: { place: { line: 3, column: 7 }, literal: true } },
                },
              ],
            },
          ],
        },
      },
    ],
  });
});

// Units.

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

// Names that were meant.

const known = ['listen_addr', 'session_ttl', 'log_level', 'envoy'];

const suggestions: readonly (readonly [string, string | undefined])[] = [
  ['listen_adr', 'listen_addr'],
  ['sessionTTL', 'session_ttl'],
  ['session-ttl', 'session_ttl'],
  ['log_lvel', 'log_level'],
  ['evnoy', 'envoy'],
  ['completely_different', undefined],
  ['x', undefined],
];
for (const [typed, expected] of suggestions) {
  test(`"${typed}" is ${expected === undefined ? 'near nothing' : `near ${expected}`}`, (t) => {
    t.is(suggest(typed, known), expected);
  });
}

test('no suggestion is no text', (t) => {
  t.is(didYouMean('zzz', known), '');
});
