import test from 'ava';
import * as fc from 'fast-check';
import { canonicalManifest, canonicalJson } from '../../src/manifest/canonical.js';
import { parseManifest } from '../../src/manifest/parse.js';
import { manifestText, replaced } from './support.js';
import { tries } from '../support/tries.js';

const MIB = 1024 * 1024;

/** Texts of up to 1 MiB that readers of YAML choke on, and what is said of them. */
const texts: readonly (readonly [string, string, RegExp])[] = [
  ['aliases', 'a: &a [x]\nb: [*a, *a]\n', /aliases \(\*name\) are not supported/],
  ['lists in lists', '['.repeat(20_000), /nested more than 100 deep/],
  ['maps in maps on one line', '- '.repeat(20_000), /nested more than 100 deep/],
  [
    'maps in maps by indentation',
    Array.from({ length: 1400 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
    /nested more than 100 deep/,
  ],
  ['1 MiB of brackets', '['.repeat(MIB), /more than 100000 signs/],
  ['1 MiB of mistakes', '] '.repeat(MIB / 2), /more than 100000 signs/],
  ['many documents', '---\n'.repeat(1000), /only one document is allowed/],
  ['many equal keys', 'a: 1\n'.repeat(10_000), /this key is given twice|no field of a manifest/],
  [
    'many unknown keys',
    Array.from({ length: 10_000 }, (_, n) => `k${n}: 1`).join('\n'),
    /no field of a manifest/,
  ],
  ['a long key', `${'k'.repeat(100_000)}: 1`, /not valid YAML/],
  ['NUL', 'a: "\\0"', /NUL/],
  ['half a character', 'a: "\\ud800"', /half of one/],
  ['nothing', '', /an empty value is not a manifest/],
  ['a picture', '\u0089PNG\r\n\u001a\n', /is not a manifest|not valid YAML/],
  ['more than 1 MiB', 'x'.repeat(MIB + 1), /larger than 1 MiB/],
  ['more than 1 MiB of UTF-8', 'é'.repeat(MIB / 2 + 1), /larger than 1 MiB/],
];
for (const [what, text, message] of texts) {
  test(`refused with a place, and soon: ${what}`, (t) => {
    const { manifest, problems } = parseManifest(text);
    t.is(manifest, undefined);
    t.true(problems.length > 0 && problems.length <= 101);
    t.true(problems.every(({ line, column }) => line >= 1 && column >= 1));
    t.true(
      problems.some((problem) => message.test(problem.message)),
      JSON.stringify(problems[0]),
    );
    t.true(problems.every((problem) => problem.message.length < 4000));
  });
}

test('1 MiB of SQL is a manifest', (t) => {
  const line = `          -- ${'x'.repeat(100)}\n`;
  const sql = line.repeat(Math.floor((MIB - 2000) / line.length));
  const text = replaced(manifestText(), '        sql: |\n', `        sql: |\n${sql}`);
  t.true(text.length > 0.99 * MIB && text.length <= MIB);
  t.deepEqual(parseManifest(text).problems, []);
});

const paths = [
  '/etc/passwd',
  'file:///etc/passwd',
  'file:/etc/passwd',
  'data/orders',
  '../data',
  's3a://lake/../other',
  's3a://lake/a/..',
  's3a:///x',
  's3a://key:secret@lake/x',
  's3a://key@lake/x',
  'jdbc:postgresql://db/x',
  'http://example.com/x',
  'ftp://example.com/x',
  's3a://lake/a\\b',
  's3a://lake/a\nb',
  'S3A://lake/x',
  'local:///opt/x',
];
for (const path of paths) {
  test(`no path of a source or sink: ${JSON.stringify(path)}`, (t) => {
    const source = replaced(manifestText(), 's3a://lake/raw/orders', JSON.stringify(path));
    t.is(parseManifest(source).problems[0]?.path, 'spec.coreEtl.sources[0].path');
    const target = `path: ${JSON.stringify(path)}\n        format: parquet`;
    const sink = replaced(manifestText(), 'table: lake.reports.totals', target);
    t.is(parseManifest(sink).problems[0]?.path, 'spec.coreEtl.sinks[0].path');
  });
}

function localProblems(path: string) {
  const text = replaced(manifestText(), 's3a://lake/raw/orders', path);
  return parseManifest(text, { localPaths: true }).problems;
}

test('files of the machine are for where jobs run on it, and there neither relative nor with ..', (t) => {
  t.deepEqual(localProblems('file:///tmp/orders'), []);
  t.deepEqual(localProblems('/tmp/orders'), []);
  t.is(localProblems('/tmp/../etc').length, 1);
  t.is(localProblems('tmp').length, 1);
});

test("a sink's path is no pattern of names", (t) => {
  const text = replaced(
    manifestText(),
    'table: lake.reports.totals',
    'path: s3a://lake/*/x\n        format: parquet',
  );
  t.regex(parseManifest(text).problems[0]?.message ?? '', /must not hold any of \*/);
});

const tables = [
  'text.passwd',
  'parquet.x',
  'CSV.x',
  'delta.`/etc`',
  '`a b`',
  'a..b',
  'a.b.c.d.e',
  'a b',
  "a'b",
  'a;b',
  'a.b\nc',
  '-- x',
];
for (const table of tables) {
  test(`no table: ${JSON.stringify(table)}`, (t) => {
    const text = replaced(manifestText(), 'lake.reports.totals', JSON.stringify(table));
    t.is(parseManifest(text).problems[0]?.path, 'spec.coreEtl.sinks[0].table');
  });
}

const options = [
  'path',
  'paths',
  'Path',
  'fs.s3a.endpoint',
  'avroSchemaUrl',
  'url',
  'dbtable',
  '__proto__',
];
for (const option of options) {
  test(`no option of a source: ${option}`, (t) => {
    const text = replaced(manifestText(), 'header: true', `"${option}": x`);
    t.regex(parseManifest(text).problems[0]?.path ?? '', /^spec\.coreEtl\.sources\[0\]\.options/);
  });
}

test('whatever is written somewhere in a manifest: no exception, and problems where there is no manifest', (t) => {
  const good = manifestText();
  const broken = fc
    .tuple(
      fc.nat(good.length),
      fc.nat(30),
      fc.oneof(
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        fc.constantFrom(
          '[',
          '{',
          ': ',
          '- ',
          '\n',
          '*a',
          '&a ',
          '!!int ',
          '|',
          '>',
          '"',
          "'",
          '\t',
          '? ',
          '%',
          '---\n',
        ),
      ),
    )
    .map(([at, length, text]) => good.slice(0, at) + text + good.slice(at + length));
  fc.assert(
    fc.property(broken, (text) => {
      const { manifest, problems } = parseManifest(text);
      t.is(manifest === undefined, problems.length > 0);
      if (!manifest) return;
      // What is read is also what JSON can say.
      const json = canonicalJson(canonicalManifest(manifest, { places: true }));
      t.notThrows(() => void JSON.parse(json), json);
    }),
    { numRuns: tries(300) },
  );
});
