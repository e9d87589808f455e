import test from 'ava';
import * as fc from 'fast-check';
import { readFile } from 'node:fs/promises';
import { parseAnyYaml } from '../../../src/lib/yaml/document.js';
import { readPlainYaml } from '../../../src/lib/yaml/plain-yaml.js';
import { policyText } from '../../../bench/policy/document.js';

/** Pieces that meet in YAML in good and in bad ways. */
// prettier-ignore
const piece = fc.constantFrom(
  'a', 'b', 'key', 'null', '~', '0', '-', '- ', ': ', ':', ', ', ',', '[', ']', '{', '}',
  '"x"', "'y'", '"', "'", '\\', '""', "''", '#', ' #c', '\n', '\n  ', '\n    ', ' ', '?', '|',
  '>', '&x ', '*x', '!t ', '%', '---', '...', '@', '`', '<<', '$', '(', '.', '/', '\t', '\r',
  'é', '\u00a0', '\u0085', '\u2028', '\ufeff', '😀', 'a: b', 'a: [b, c]', '- a', 'a:\n  b: c',
);
const soup = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(''));

const words = [
  'a',
  'b1',
  'two words',
  'http://x:80/y',
  'sjns-{t}',
  '${c}',
  'f(x, "y")',
  'null',
  '',
];
const scalar = fc.tuple(fc.constantFrom(...words), fc.constantFrom('', '"', "'"));

/** Its text, for a place whose further lines begin with `indent`. */
type Written = (indent: string) => string;

function quoted(text: string, mark: string): string {
  if (mark === "'") return `'${text.replaceAll("'", "''")}'`;
  return mark === '' && text !== '' ? text : `"${text.replaceAll('"', '\\"')}"`;
}

const inBlock = scalar.map(
  ([text, mark]): Written =>
    () =>
      quoted(text, mark),
);
const inFlow = scalar.map(
  ([text, mark]): Written =>
    () =>
      quoted(text, /[,{}]/.test(text) ? '"' : mark),
);
const gap = fc.constantFrom(' ', '  ', ' # c\n', '\n', '\n\n');
const joined = (items: readonly string[], between: string, indent: string): string =>
  items.join(`,${between.replaceAll(/\n(?!\n)/g, `\n${indent} `)}`);

function entries<T>(keys: readonly string[], value: fc.Arbitrary<T>) {
  const entry = fc.tuple(fc.constantFrom(...keys), value);
  return fc.uniqueArray(entry, { minLength: 1, maxLength: 3, selector: ([key]) => key });
}

/** A document as people write them, in any of their ways. */
const { block } = fc.letrec<{ block: Written; inline: Written; flow: Written; nested: Written }>(
  (tie) => ({
    flow: fc.oneof(
      { maxDepth: 3 },
      inFlow,
      fc
        .tuple(fc.array(tie('flow'), { maxLength: 3 }), gap)
        .map(([items, between]): Written => (indent) => {
          const written = items.map((item) => item(indent));
          return `[${joined(written, between, indent)}]`;
        }),
      fc
        .tuple(entries(['a', 'b', '"c"'], tie('flow')), gap)
        .map(([fields, between]): Written => (indent) => {
          const written = fields.map(([key, value]) => `${key}: ${value(indent)}`);
          return `{${joined(written, between, indent)}}`;
        }),
    ),
    inline: fc.oneof(inBlock, tie('flow')),
    /** Of a key: behind it, or below it. */
    nested: fc.oneof(
      { maxDepth: 3 },
      tie('inline').map(
        (value): Written =>
          (indent) =>
            ` ${value(indent)}`,
      ),
      fc
        .tuple(
          tie('block'),
          fc.constantFrom(' ', '  ', '    '),
          fc.constantFrom('', ' # why', '\n# why', '\n'),
        )
        .map(([value, step, comment]): Written => (indent) => {
          const deeper = `${indent}${step}`;
          return `${comment}\n${deeper}${value(deeper)}`;
        }),
    ),
    block: fc.oneof(
      { maxDepth: 3 },
      tie('inline'),
      entries(['a', 'b', '"c d"', "'e'", 'x y', 'null'], tie('nested')).map(
        (fields): Written =>
          (indent) =>
            fields.map(([key, value]) => `${key}:${value(indent)}`).join(`\n${indent}`),
      ),
      fc.array(tie('block'), { minLength: 1, maxLength: 3 }).map(
        (items): Written =>
          (indent) =>
            items.map((item) => `- ${item(`${indent}  `)}`).join(`\n${indent}`),
      ),
    ),
  }),
);

const document = block.map((write) => `${write('')}\n`);

/** A document into which somebody typed. */
const edited = fc
  .tuple(document, fc.array(fc.tuple(fc.nat(), fc.nat(3), piece), { maxLength: 2 }))
  .map(([text, edits]) =>
    edits.reduce((now, [at, removed, put]) => {
      const place = at % (now.length + 1);
      return now.slice(0, place) + put + now.slice(place + removed);
    }, text),
  );

const RUNS = Number(process.env['PLAIN_YAML_RUNS'] ?? 2000);

for (const [what, texts] of Object.entries({ soup, document, edited })) {
  test(`${what}: what is read fast is what the library reads, places included`, (t) => {
    fc.assert(
      fc.property(texts, (text) => {
        const value = readPlainYaml(text, 'f.yaml');
        if (value) {
          t.deepEqual(
            { value, wellFormed: true, problems: [] },
            parseAnyYaml(text, 'f.yaml'),
            text,
          );
        }
      }),
      { numRuns: RUNS },
    );
  });
}

test('documents as people write them are read fast', (t) => {
  let fast = 0;
  fc.assert(
    fc.property(document, (text) => void (fast += readPlainYaml(text, 'f.yaml') ? 1 : 0)),
    { numRuns: 500 },
  );
  t.true(fast > 250, `${fast} of 500`);
});

for (const file of ['docs/policy.yaml', 'config/development/policy.yaml']) {
  test(`${file} is read fast`, async (t) => {
    const text = await readFile(file, 'utf8');
    t.deepEqual(readPlainYaml(text, 'f.yaml'), parseAnyYaml(text, 'f.yaml').value);
  });
}

test('a policy of many rules is read fast', (t) => {
  const text = policyText(50);
  t.deepEqual(readPlainYaml(text, 'f.yaml'), parseAnyYaml(text, 'f.yaml').value);
});

test('a scalar of millions of characters is left to the library', (t) => {
  for (const long of ['x y '.repeat(3_000_000), `"${'x'.repeat(12_000_000)}"`]) {
    t.is(readPlainYaml(`a: ${long}`, 'file'), undefined);
  }
});
