import test from 'ava';
import { readManifest, parseManifest, resourcesOf } from '../../src/manifest/parse.js';
import { manifestText } from './support.js';

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
