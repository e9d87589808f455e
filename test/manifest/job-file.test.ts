import { gunzipSync } from 'node:zlib';
import test from 'ava';
import * as fc from 'fast-check';
import { canonicalJobFile, fingerprintOf, jobFileJson } from '../../src/manifest/job-file.js';
import { readManifest } from '../../src/manifest/parse.js';
import { parseOptions } from '../../src/manifest/options.js';
import { manifestText } from './support.js';

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
