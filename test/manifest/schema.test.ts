import { readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import { parse } from 'yaml';
import type { JsonSchema } from '../../src/lib/yaml/json-schema.js';
import { manifestSchema, renderManifestSchema } from '../../src/manifest/json-schema.js';
import { parseManifest } from '../../src/manifest/parse.js';
import { manifestText, replaced } from './support.js';

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
