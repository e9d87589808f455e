import test from 'ava';
import * as fc from 'fast-check';
import { isJobId, jobIdOf, labelValueOf, namespaceOf } from '../../src/manifest/ids.js';
import { jobFileJson } from '../../src/manifest/job-file.js';
import { parseManifest, readManifest, resourcesOf } from '../../src/manifest/parse.js';
import { manifestText, replaced } from './support.js';
import { tries } from '../support/tries.js';

// Documents.

const GOOD = manifestText();

test('a manifest is read with its defaults', (t) => {
  const manifest = readManifest(GOOD);
  t.is(manifest.metadata.team, 'data');
  t.is(manifest.spec.coreEtl.sinks[0]?.mode, 'error');
  t.deepEqual(resourcesOf(manifest), {
    driver: { cores: 2, memory: '4g' },
    executor: { cores: 2, memory: '4g', instances: 2 },
    dynamicAllocation: { minExecutors: 1, maxExecutors: 10 },
  });
});

test('the SQL knows where it stands', (t) => {
  const [transform] = readManifest(GOOD).spec.coreEtl.transforms;
  const { column = 0, line = 0, literal, text = '' } = transform?.sql ?? {};
  t.true(literal);
  const lines = GOOD.split('\n');
  t.true(text.split('\n').length > 2);
  for (const [index, one] of text.trimEnd().split('\n').entries()) {
    t.is(lines[line - 1 + index]?.slice(column - 1), one);
  }
});

const mistakes: readonly (readonly [string, string, string, RegExp])[] = [
  [
    'kind: SparkJob',
    'kind: SparkJobs',
    'kind',
    /"SparkJobs" is not SparkJob; did you mean "SparkJob"/,
  ],
  ['    sinks:', '    sink:', 'spec.coreEtl.sink', /no field of coreEtl; did you mean "sinks"/],
  [
    'mode: error',
    'mode: replace',
    'spec.coreEtl.sinks[0].mode',
    /error, append, overwrite or ignore/,
  ],
  ['version: "3.5"', 'version: "2.4"', 'spec.engine.version', /"2.4" is not 3.5 or 4.1/],
  [
    'name: totals\n',
    'name: orders\n',
    'spec.coreEtl.transforms[0].name',
    /name of another source or transform/,
  ],
  ['from: totals', 'from: total', 'spec.coreEtl.sinks[0].from', /did you mean "totals"/],
  [
    'header: true',
    'haeder: true',
    'spec.coreEtl.sources[0].options.haeder',
    /no option of reading csv; did you mean "header"/,
  ],
  ['s3a://lake/raw/orders', '/etc/passwd', 'spec.coreEtl.sources[0].path', /file of the machine/],
  ['s3a://lake/raw/orders', 's3a://lake/../x', 'spec.coreEtl.sources[0].path', /without "\.\."/],
  ['s3a://lake/raw/orders', 's3a://key:secret@lake/x', 'spec.coreEtl.sources[0].path', /passwords/],
];
for (const [from, to, path, message] of mistakes) {
  test(`${to.trim()}: ${String(message)}`, (t) => {
    t.true(GOOD.includes(from), from);
    const text = GOOD.replace(from, to);
    const { problems } = parseManifest(text);
    t.is(problems.length, 1, JSON.stringify(problems));
    const [problem] = problems;
    t.is(problem?.path, path);
    t.regex(problem?.message ?? '', message);
  });
}

// Scalars.

/** A parameter as it is written, and as the job file has it. */
const values: readonly (readonly [string, string])[] = [
  ['1', '1'],
  ['-1', '-1'],
  ['-0', '0'],
  ['1.0', '1.0'],
  ['1.50', '1.5'],
  ['1e3', '1000.0'],
  ['1E400', 'refused'],
  ['0.1', '0.1'],
  ['1e-9', '1e-9'],
  ['1e30', '1e+30'],
  ['99999999999999999999999999999999999999', '99999999999999999999999999999999999999'],
  ['999999999999999999999999999999999999999', 'refused'],
  ['0.12345678901234567890', 'refused'],
  ['true', 'true'],
  ['false', 'false'],
  ['"true"', '"true"'],
  ['"1"', '"1"'],
  ["'1.0'", '"1.0"'],
  ['2026-11-29', '"2026-11-29"'],
  ['12:30', '"12:30"'],
  ['1 2', '"1 2"'],
  ['abc', '"abc"'],
  ['1.2.3', '"1.2.3"'],
  ['0123', 'refused'],
  ['0x1F', 'refused'],
  ['0o17', 'refused'],
  ['1_000', 'refused'],
  ['+1', 'refused'],
  ['.5', 'refused'],
  ['1.', 'refused'],
  ['.nan', 'refused'],
  ['.inf', 'refused'],
  ['-.inf', 'refused'],
  ['yes', 'refused'],
  ['No', 'refused'],
  ['on', 'refused'],
  ['True', 'refused'],
  ['NULL', 'refused'],
  ['"yes"', '"yes"'],
  ['null', 'refused'],
  ['[1]', 'refused'],
  ['{a: 1}', 'refused'],
];
for (const [written, expected] of values) {
  test(`a parameter written as ${written} is ${expected}`, (t) => {
    const text = replaced(manifestText(), 'least: 2.50', `least: ${written}`);
    const { problems } = parseManifest(text);
    if (expected === 'refused') {
      t.deepEqual(
        problems.map(({ path }) => path),
        ['spec.coreEtl.parameters.least'],
      );
      return;
    }
    t.deepEqual(problems, []);
    const json = jobFileJson({
      jobId: 'job-a',
      team: 'data',
      environment: 'dev',
      user: 'ann',
      outputPath: 's3://out',
      sandbox: false,
      sampling: undefined,
      manifest: readManifest(text),
    });
    t.true(json.includes(`"least":${expected},`), json);
  });
}

// Places in SQL.

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
    { numRuns: tries(200) },
  );
});

// Ids.

const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

const of = (team: string, environment: string) => namespaceOf({ team, environment, user: 'ann' });

/** Names as people have them, and as nobody should. */
const names = fc.oneof(
  fc.constantFrom(
    'data',
    'a-b',
    'Data_Team',
    'playground',
    'playground-local',
    'x'.repeat(64),
    'x'.repeat(65),
    'ann.o+spark@example.com',
    'équipe',
    '-',
    '',
    'a--b',
  ),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.stringMatching(/^[a-z0-9-]{1,40}$/),
);
const environments = fc.oneof(
  fc.constantFrom('local', 'test', 'dev', 'staging', 'prod', 'us-east', 'PROD'),
  fc.stringMatching(/^[a-z0-9-]{1,12}$/),
);

test('the namespaces of the environments', (t) => {
  t.regex(of('data', 'local'), /^sjns-playground-local-[0-9a-f]{10}$/);
  t.is(of('data', 'test'), 'sjns-playground-test');
  t.is(of('data', 'staging'), 'sjns-data-staging');
  t.is(of('data', 'prod'), 'sjns-data-prod');
  t.is(of('data-platform', 'dev'), 'sjns-data-platform-dev');
});

test('a namespace is a DNS label, whoever the team is', (t) => {
  fc.assert(
    fc.property(names, environments, names, (team, environment, user) => {
      t.regex(namespaceOf({ team, environment, user }), NAMESPACE);
    }),
    { numRuns: tries(500) },
  );
});

test('no two pairs of team and environment share a namespace, and none is a playground', (t) => {
  const pair = fc.tuple(names, environments);
  fc.assert(
    fc.property(pair, pair, ([teamA, environmentA], [teamB, environmentB]) => {
      const user = 'ann';
      const a = namespaceOf({ team: teamA, environment: environmentA, user });
      const b = namespaceOf({ team: teamB, environment: environmentB, user });
      const isPlayground =
        /^(local|test)$/.test(environmentA) || /^(local|test)$/.test(environmentB);
      if (isPlayground) t.is(a === b, environmentA === environmentB);
      else t.is(a === b, teamA === teamB && environmentA === environmentB);
    }),
    { numRuns: tries(1000) },
  );
  t.not(of('a', 'b-c'), of('a-b', 'c'));
  t.not(of('playground', 'test'), of('playground', 'te-st'));
  t.notRegex(of('playground-local', '0123456789'), /^sjns-playground-local-[0-9a-f]{10}$/);
});

test('an id is a DNS-1035 label of at most 40 characters, and the same for the same request', (t) => {
  fc.assert(
    fc.property(names, names, environments, names, (user, team, environment, clientRequestId) => {
      const key = { user, team, environment, clientRequestId };
      const id = jobIdOf(key);
      t.regex(id, /^[a-z]([a-z0-9-]*[a-z0-9])?$/);
      t.true(id.length <= 40 && isJobId(id));
      t.is(jobIdOf(key), id);
      t.not(jobIdOf({ ...key, user: `${user}x` }), id);
      t.not(jobIdOf({ ...key, user: `${user}${team.slice(0, 1)}x`, team: team.slice(1) }), id);
      t.not(jobIdOf({ ...key, clientRequestId: `${clientRequestId}x` }), id);
    }),
    { numRuns: tries(200) },
  );
});

test('without a request id, each job has an id of its own', (t) => {
  const key = { user: 'ann', team: 'data', environment: 'dev', clientRequestId: undefined };
  t.is(new Set(Array.from({ length: 1000 }, () => jobIdOf(key))).size, 1000);
});

test('a label has a legal value for any text, another for each', (t) => {
  t.is(labelValueOf('data-platform_1.x'), 'data-platform_1.x');
  t.regex(labelValueOf('ann+spark@example.com'), /^ann-spark-example\.com--[a-z2-7]{16}$/);
  fc.assert(
    fc.property(names, names, (a, b) => {
      t.regex(labelValueOf(a), LABEL_VALUE);
      t.is(labelValueOf(a) === labelValueOf(b), a === b);
    }),
    { numRuns: tries(1000) },
  );
});
