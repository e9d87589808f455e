import test from 'ava';
import * as fc from 'fast-check';
import { readManifest } from '../../src/manifest/parse.js';
import { manifestText } from './support.js';

const head = manifestText().slice(0, manifestText().indexOf('        sql: |'));

function sqlOf(written: string) {
  const text = `${head}        sql: ${written}\n`;
  const sql = readManifest(text).spec.coreEtl.transforms[0]?.sql;
  if (!sql) throw new TypeError('no transform');
  return { text, sql };
}

/** What stands in the manifest where the SQL is said to be, of the same length. */
function standsThere(text: string, { column, line, text: sql }: ReturnType<typeof sqlOf>['sql']) {
  const lines = text.split(/\r?\n/).slice(line - 1);
  const wanted = sql.split('\n');
  return wanted
    .map((one, index) => (lines[index] ?? '').slice(column - 1, column - 1 + one.length))
    .join('\n');
}

const literal: readonly (readonly [string, string])[] = [
  ['plain', 'SELECT 1'],
  ['plain with a comment', 'SELECT 1 # one'],
  ['in single quotes', "'SELECT 1'"],
  ['in double quotes', '"SELECT 1"'],
  ['on the next line', '\n            SELECT 1'],
  ['a block', '|\n          SELECT 1\n            FROM x'],
  ['a block that is chomped', '|-\n          SELECT 1\n          FROM x'],
  ['a block with a comment', '| # the statement\n          SELECT 1'],
  ['a block that begins with empty lines', '|\n\n   \n          SELECT 1\n\n          FROM x'],
  ['a block whose first line is further in', '|2\n            SELECT 1\n          FROM x'],
  ['a block with line breaks of Windows', '|\r\n          SELECT 1\r\n          FROM x\r'],
  ['a block with a tag and an anchor', '&sql |\n          SELECT 1'],
];
for (const [what, written] of literal) {
  test(`a place in the SQL is a place in the manifest: ${what}`, (t) => {
    const { sql, text } = sqlOf(written);
    t.true(sql.literal);
    t.regex(sql.text, /SELECT 1/);
    t.is(standsThere(text, sql), sql.text);
  });
}

const folded: readonly (readonly [string, string])[] = [
  ['folded', '>\n          SELECT 1\n          FROM x'],
  ['with an escape', '"SELECT \\"a\\""'],
  ['with a doubled quote', "'SELECT ''a'''"],
  ['plain over two lines', 'SELECT 1\n          FROM x'],
  ['quoted over two lines', '"SELECT 1\n          FROM x"'],
];
for (const [what, written] of folded) {
  test(`only where it begins is known: ${what}`, (t) => {
    const { sql, text } = sqlOf(written);
    t.false(sql.literal);
    const line = text.split('\n')[sql.line - 1] ?? '';
    t.true(line.slice(sql.column - 1).startsWith(written.slice(0, 1)), line.slice(sql.column - 1));
  });
}

test('any lines in a block stand where the SQL is said to be', (t) => {
  const line = fc.oneof(
    fc.constant(''),
    fc.stringMatching(/^ {0,3}[A-Za-z0-9:'"#|>*&%@!,-]{1,12}( [A-Za-z0-9]{0,3}){0,2}$/),
    fc
      .string({ unit: 'grapheme', maxLength: 10 })
      .filter((text) => !/[\p{Cc}\u0085\u2028\u2029\ufeff]/u.test(text)),
  );
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 8 }),
      fc.constantFrom('|', '|-', '|+', '|2'),
      fc.constantFrom('\n', '\r\n'),
      (lines, header, lineBreak) => {
        fc.pre(lines.some((one) => one.trim() !== ''));
        // Without a sign of its own, a block's first line says how far it is in.
        fc.pre(header === '|2' || !/^\s/.test(lines.find((one) => one !== '') ?? ''));
        const indent = ' '.repeat(10);
        const block = lines.map((one) => (one === '' ? '' : indent + one)).join(lineBreak);
        const { sql, text } = sqlOf(`${header}${lineBreak}${block}`);
        t.true(sql.literal);
        t.is(standsThere(text, sql), sql.text);
      },
    ),
    { numRuns: 500 },
  );
});
