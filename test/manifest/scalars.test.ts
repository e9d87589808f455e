import test from 'ava';
import { jobFileJson } from '../../src/manifest/job-file.js';
import { parseManifest, readManifest } from '../../src/manifest/parse.js';
import { manifestText, replaced } from './support.js';

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
