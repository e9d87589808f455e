import { readFileSync } from 'node:fs';
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
for (const [index, example] of examples.entries()) {
  if (example.startsWith('# yaml-language-server')) continue;
  test(`example ${index + 1} of docs/batch.md is good`, (t) => {
    t.deepEqual(parseManifest(whole(example)).problems, []);
  });
}

test('docs/batch.md has examples', (t) => {
  t.true(examples.length >= 5);
});
