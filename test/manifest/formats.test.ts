import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import type { JsonSchema } from '../../src/lib/yaml/json-schema.js';
import { readOptions, writeOptions } from '../../src/manifest/format-options.js';
import { canonicalJobFile, fingerprintOf, jobFileJson } from '../../src/manifest/job-file.js';
import { manifestSchema, renderManifestSchema } from '../../src/manifest/json-schema.js';
import { parseOptions } from '../../src/manifest/options.js';
import { parseManifest, readManifest } from '../../src/manifest/parse.js';
import { GatewayError } from '../../src/model/errors.js';
import { manifestText, replaced } from './support.js';

// Options.

function refusal(options: Readonly<Record<string, string>>): string {
  try {
    parseOptions(options);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'OPTION_INVALID') return error.message;
    throw error;
  }
  return '';
}

test('options are read as what they mean; what is not said is undefined', (t) => {
  t.deepEqual(parseOptions({}), {
    clientRequestId: undefined,
    sandbox: undefined,
    sampling: undefined,
    ttlSeconds: undefined,
  });
  const options = {
    client_request_id: 'run/2026-11-29#1',
    sandbox_mode: 'false',
    data_sampling: '0.25',
    ttl_seconds: '600',
  };
  t.deepEqual(parseOptions(options), {
    clientRequestId: 'run/2026-11-29#1',
    sandbox: false,
    sampling: 0.25,
    ttlSeconds: 600,
  });
});

test('every mistake is said at once, an unknown name with the nearest that there is', (t) => {
  const lines = refusal({ ttl_second: '60', sandbox_mode: 'yes', data_sampling: '2' }).split('\n');
  t.is(lines.length, 3);
  t.regex(lines[0] ?? '', /"ttl_second" is no option; did you mean "ttl_seconds"/);
  t.regex(lines[1] ?? '', /sandbox_mode is "yes", which is not true or false/);
  t.regex(lines[2] ?? '', /data_sampling is "2", which is not a number above 0 and at most 1/);
  t.regex(refusal({ colour: 'red' }), /there are client_request_id, sandbox_mode/);
});

const refused: readonly (readonly [string, string])[] = [
  ['data_sampling', '0'],
  ['data_sampling', '0.0'],
  ['data_sampling', '-0.5'],
  ['data_sampling', '1.5'],
  ['data_sampling', '1e-3'],
  ['data_sampling', 'NaN'],
  ['data_sampling', ''],
  ['ttl_seconds', '59'],
  ['ttl_seconds', '86401'],
  ['ttl_seconds', '1h'],
  ['ttl_seconds', '60.5'],
  ['client_request_id', ''],
  ['client_request_id', 'a b'],
  ['client_request_id', 'é'],
  ['client_request_id', 'a\n'],
  ['client_request_id', 'x'.repeat(129)],
  ['sandbox_mode', 'TRUE'],
  ['__proto__', 'x'],
  ['constructor', 'x'],
];
for (const [name, value] of refused) {
  test(`refused: ${name}=${JSON.stringify(value.slice(0, 20))}`, (t) => {
    t.not(refusal(Object.fromEntries([[name, value]])), '');
  });
}

// The schema.

const validate = new Ajv2020({ allErrors: true, strictTypes: false }).compile(manifestSchema());

function complaints(text: string): readonly string[] {
  if (validate(parse(text))) return [];
  return (validate.errors ?? []).map(({ instancePath, keyword }) => `${instancePath} ${keyword}`);
}

test('the published schema is what the command prints', async (t) => {
  t.is(await readFile('docs/spark-job.schema.json', 'utf8'), renderManifestSchema());
});

test('what is read without mistakes is valid', (t) => {
  t.deepEqual(complaints(manifestText()), []);
});

const mistakes: readonly (readonly [string, string, string])[] = [
  ['kind: SparkJob', 'kind: Job', '/kind enum'],
  ['  team: data\n', '', '/metadata required'],
  ['mode: error', 'mode: x', '/spec/coreEtl/sinks/0/mode enum'],
  ['format: csv', 'format: excel', '/spec/coreEtl/sources/0/format enum'],
  ['label: null', 'label: [1]', '/spec/coreEtl/sources/1/rows/1/label type'],
  ['name: totals\n', 'name: Totals\n', '/spec/coreEtl/transforms/0/name pattern'],
  ['    sinks:', '    sink:', '/spec/coreEtl additionalProperties'],
];
for (const [old, by, complaint] of mistakes) {
  test(`an editor says: ${complaint}`, (t) => {
    const text = replaced(manifestText(), old, by);
    t.true(complaints(text).includes(complaint), complaints(text).join('; '));
    t.is(parseManifest(text).manifest, undefined);
  });
}

test('each field of the schema says what it is for or what is allowed', (t) => {
  const visit = (schema: JsonSchema, path: string): void => {
    for (const [name, part] of Object.entries((schema['properties'] ?? {}) as JsonSchema)) {
      const field = part as JsonSchema;
      const leaf = field['type'] !== 'object';
      t.true(!leaf || 'description' in field || 'enum' in field, `${path}.${name}`);
      visit(field, `${path}.${name}`);
    }
    if ('items' in schema) visit(schema['items'] as JsonSchema, path);
  };
  visit(manifestSchema(), '');
});

test('what reads manifests runs in a browser, too: nothing of Node is below it', (t) => {
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, from = ''] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)\s(?!type)[^;]*?from\s'([^']+)';/gm,
    )) {
      if (from.startsWith('.')) visit(join(dirname(file), from.replace(/\.js$/, '.ts')));
      else packages.add(from);
    }
  };
  const browserFiles = ['parse', 'options', 'canonical', 'json-schema', 'format-options'];
  for (const name of browserFiles) visit(`src/manifest/${name}.ts`);
  t.deepEqual([...packages], ['yaml']);
  t.true(seen.size > 8);
});

// The job file.

const job = (text: string) => ({
  jobId: 'job-aaaaaaaaaaaaaaaaaaaaaaaaaa',
  team: 'data',
  environment: 'local',
  user: 'ann@example.com',
  outputPath: 's3://out/job-a',
  sandbox: true,
  sampling: 0.5,
  manifest: readManifest(text),
});

test('the job file is gzipped JSON with sorted keys and all defaults, and the same bytes each time', (t) => {
  const bytes = canonicalJobFile(job(manifestText()));
  t.deepEqual(bytes, canonicalJobFile(job(manifestText())));
  const text = gunzipSync(bytes).toString();
  t.is(text, jobFileJson(job(manifestText())));
  t.deepEqual(JSON.parse(text), {
    format: 1,
    job_id: 'job-aaaaaaaaaaaaaaaaaaaaaaaaaa',
    team: 'data',
    environment: 'local',
    user: 'ann@example.com',
    output_path: 's3://out/job-a',
    sandbox: true,
    sampling: 0.5,
    manifest: {
      apiVersion: 'dcp.pedregal.doordash.com/v1',
      kind: 'SparkJob',
      metadata: { name: 'daily totals', team: 'data' },
      spec: {
        engine: { version: '3.5' },
        coreEtl: {
          parameters: { day: '2026-11-29', least: 2.5, limit: 100 },
          sources: [
            {
              name: 'orders',
              path: 's3a://lake/raw/orders',
              format: 'csv',
              options: { header: 'true' },
              schema: 'id BIGINT, region STRING, amount DOUBLE, day DATE',
            },
            {
              name: 'regions',
              rows: [
                { region: 'eu', label: 'Europe' },
                { region: 'us', label: null },
              ],
            },
          ],
          transforms: [
            {
              name: 'totals',
              sql: 'SELECT label,\n       sum(amount) AS total\n  FROM orders JOIN regions USING (region)\n WHERE day = :day\n\n GROUP BY label\n',
              at: { line: 28, column: 11, literal: true },
            },
          ],
          sinks: [
            {
              from: 'totals',
              table: 'lake.reports.totals',
              mode: 'error',
              partitionBy: ['label'],
              options: {},
            },
          ],
          resources: {
            driver: { cores: 2, memory: '4g' },
            executor: { cores: 2, memory: '4g', instances: 2 },
            dynamicAllocation: { enabled: true, minExecutors: 1, maxExecutors: 10 },
          },
        },
      },
    },
  });
  t.true(text.startsWith('{"environment":"local","format":1,"job_id"'));
});

test('numbers stay as they were meant: 2.50 has a point, digits beyond a double are kept', (t) => {
  const text = manifestText().replace('limit: 100', 'limit: 12345678901234567890\n      one: 1.0');
  const json = jobFileJson(job(text));
  t.regex(json, /"least":2\.5,"limit":12345678901234567890,"one":1\.0/);
});

const submission = (text: string) => ({
  user: 'ann@example.com',
  team: 'data',
  environment: 'local',
  jobName: 'daily totals',
  manifest: readManifest(text),
  options: parseOptions({}),
});

test('the fingerprint is of what is meant: not of comments, order of keys or places', (t) => {
  const first = fingerprintOf(submission(manifestText()));
  t.regex(first, /^[0-9a-f]{64}$/);
  const commented = `# a comment\n${manifestText().replace('  name: daily totals\n  team: data\n', '  team: data\n  name: "daily totals"\n')}`;
  t.is(fingerprintOf(submission(commented)), first);
  t.not(fingerprintOf(submission(manifestText().replace('100', '101'))), first);
  t.not(fingerprintOf(submission(manifestText().replace('100', '"100"'))), first);
  t.not(fingerprintOf({ ...submission(manifestText()), jobName: 'other' }), first);
  t.not(fingerprintOf({ ...submission(manifestText()), user: 'bob' }), first);
});

test('any text in a manifest survives the way into the job file', (t) => {
  const texts = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(texts, (value) => {
      fc.pre(!/[\0\p{Cs}]/u.test(value));
      const text = manifestText().replace('day: 2026-11-29', () => `day: ${JSON.stringify(value)}`);
      const read: unknown = JSON.parse(jobFileJson(job(text)));
      t.like(read, { manifest: { spec: { coreEtl: { parameters: { day: value } } } } });
    }),
  );
});

// What documents say of it.

const document = readFileSync('docs/batch.md', 'utf8');

/** An example that is no whole manifest is what stands below `coreEtl`. */
function whole(example: string): string {
  if (example.includes('kind: SparkJob')) return example;
  return [
    'apiVersion: dcp.pedregal.doordash.com/v1',
    'kind: SparkJob',
    'metadata: {name: example, team: data}',
    'spec:',
    '  engine: {version: "3.5"}',
    '  coreEtl:',
    ...example.split('\n').map((line) => `    ${line}`),
  ].join('\n');
}

const examples = Array.from(
  document.matchAll(/```yaml\n([\s\S]*?)```/g),
  ([, example = '']) => example,
);
/** A line for editors, and no part of a manifest. */
const FOR_EDITORS = /^# yaml-language-server: \$schema=(.*)\n$/;

for (const [index, example] of examples.entries()) {
  const schema = FOR_EDITORS.exec(example)?.[1];
  if (schema !== undefined) {
    test(`example ${index + 1} of docs/batch.md names a file that is there`, (t) => {
      t.true(existsSync(join('docs', schema)));
    });
    continue;
  }
  test(`example ${index + 1} of docs/batch.md is good`, (t) => {
    t.deepEqual(parseManifest(whole(example)).problems, []);
  });
}

test('docs/batch.md has examples, and none that is looked at by nobody', (t) => {
  t.true(examples.length >= 5);
  t.is(document.match(/^ *(```|~~~)/gm)?.length, 2 * examples.length);
});

// Two lists of one thing, in two languages: what a manifest may say, and what the sandbox lets through.

/** The words of a list in coreetl_allowed.py. */
function words(name: string): ReadonlySet<string> {
  const text = readFileSync('coreetl/coreetl_allowed.py', 'utf8');
  const list = new RegExp(`^${name} = frozenset\\(\\s*(?:"""([^"]*)"""|"([^"]*)")`, 'm').exec(text);
  return new Set((list?.[1] ?? list?.[2] ?? '').trim().split(/\s+/));
}

/** Delta reads it as an expression, which could call any function. */
const REFUSED = ['replaceWhere'];

test('in the sandbox one may use the formats and options of a manifest, but expressions', (t) => {
  t.deepEqual([...words('FORMATS')].toSorted(), Object.keys(readOptions).toSorted());
  const known = [...Object.values(readOptions), ...Object.values(writeOptions)].flat();
  const allowed = words('OPTIONS');
  t.deepEqual(
    [...new Set(known)].filter((name) => !allowed.has(name.toLowerCase())),
    REFUSED,
  );
  for (const name of ['path', 'paths', 'avroschemaurl', 'rowvalidationxsdpath']) {
    t.false(allowed.has(name), name);
  }
});
