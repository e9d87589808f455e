import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseManifest } from '../../src/manifest/parse.js';

const text = readFileSync('docs/batch.md', 'utf8');

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
  text.matchAll(/```yaml\n([\s\S]*?)```/g),
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
  t.is(text.match(/^ *(```|~~~)/gm)?.length, 2 * examples.length);
});
