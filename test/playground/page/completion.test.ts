import test from 'ava';
import * as fc from 'fast-check';
import { manifestSchema } from '../../../src/manifest/json-schema.js';
import {
  aboutOf,
  keysOf,
  kindOf,
  schemaAt,
  valuesOf,
} from '../../../src/playground/page/editor/schema.js';
import { keyAt, placeAt } from '../../../src/playground/page/editor/yaml-place.js';

const schema = manifestSchema();

/** `‸` in the text is where somebody writes. */
function at(marked: string) {
  const offset = marked.indexOf('‸');
  return placeAt(marked.replace('‸', ''), offset);
}

/** The keys that could be written there, as the manifest's schema has them. */
function offered(marked: string): readonly string[] {
  const place = at(marked);
  if (place?.kind !== 'key') return [];
  return keysOf(schemaAt(schema, place.path))
    .map(({ name }) => name)
    .filter((name) => !place.siblings.includes(name));
}

test('keys that a map does not have yet, wherever it is', (t) => {
  t.deepEqual(offered('‸'), ['apiVersion', 'kind', 'metadata', 'spec']);
  t.deepEqual(offered('kind: SparkJob\nme‸\nspec:\n  engine:\n'), ['apiVersion', 'metadata']);
  t.deepEqual(offered('metadata:\n  ‸\nspec:\n'), ['name', 'team']);
  t.deepEqual(offered('metadata:\n  team: a\n  na‸'), ['name']);
  t.deepEqual(
    offered('spec:\n  coreEtl:\n    resources:\n      driver:\n        cores: 1\n        m‸'),
    ['memory'],
  );
  t.deepEqual(offered('metadata:\n  name: x\n\n‸'), ['apiVersion', 'kind', 'spec']);
});

test('keys of items of a list, also where the list is as far left as its key', (t) => {
  const transforms = 'spec:\n  coreEtl:\n    transforms:\n';
  t.deepEqual(offered(`${transforms}      - ‸`), ['name', 'sql']);
  t.deepEqual(offered(`${transforms}      - name: a\n        ‸`), ['sql']);
  t.deepEqual(offered(`${transforms}      - name: a\n        sql: b\n      - n‸`), ['name', 'sql']);
  t.deepEqual(offered(`${transforms}    - name: a\n      s‸`), ['sql']);
  t.deepEqual(offered(`${transforms}    - name: a\n      sql: b\n    si‸`), [
    'parameters',
    'sources',
    'sinks',
    'resources',
  ]);
  t.deepEqual(
    offered(`${transforms}      - ‸\n        name: later\n      - sql: x\n`),
    ['sql'],
    'what stands below counts, too',
  );
});

test('nothing is offered within SQL, comments and braces', (t) => {
  const sql = 'spec:\n  coreEtl:\n    transforms:\n      - name: a\n        sql: |\n';
  t.is(at(`${sql}          SEL‸`), undefined);
  t.is(at(`${sql}          SELECT 1\n\n          ‸`), undefined);
  t.is(at('metadata: # na‸'), undefined);
  t.is(at('metadata: {na‸'), undefined);
  t.deepEqual(offered(`${sql}          SELECT 1\n        ‸`), [], 'name and sql are there');
  t.deepEqual(offered(`${sql}          SELECT 1\n      - ‸`), ['name', 'sql']);
});

test('values: where there are few, and what is said of them', (t) => {
  const place = at('spec:\n  coreEtl:\n    sinks:\n      - path: x\n        mode: ov‸');
  t.like(place, { kind: 'value', path: ['spec', 'coreEtl', 'sinks', '-', 'mode'] });
  const mode = schemaAt(schema, place?.path ?? []);
  t.deepEqual(valuesOf(mode), ['error', 'append', 'overwrite', 'ignore']);
  t.is(kindOf(mode ?? {}), 'choice');
  t.regex(aboutOf(mode ?? {}).join(' '), /something already.*Allowed: error, append.*Default/);
  t.deepEqual(
    valuesOf(schemaAt(schema, ['spec', 'coreEtl', 'resources', 'dynamicAllocation', 'enabled'])),
    ['true', 'false'],
  );
});

test('the key below the pointer, with what leads to it', (t) => {
  const text = 'spec:\n  coreEtl:\n    sources:\n      - name: a\n        table: t\n';
  t.deepEqual(keyAt(text, text.indexOf('table') + 2), {
    path: ['spec', 'coreEtl', 'sources', '-', 'table'],
    from: text.indexOf('table'),
    to: text.indexOf('table') + 5,
  });
  t.is(keyAt(text, text.indexOf(' t\n') + 1), undefined);
});

test('any text, anywhere: a place within it, or none', (t) => {
  const lines = fc.array(
    fc.constantFrom(
      'a:',
      '  b: 1',
      '- c',
      '  - d: |',
      '      text',
      '',
      ' # x',
      '{',
      '"q": ',
      '\t',
      '-',
      '- - e:',
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(lines, fc.nat(80), (written, position) => {
      const text = written.join('\n');
      const offset = Math.min(position, text.length);
      const place = placeAt(text, offset);
      keyAt(text, offset);
      if (place) t.true(place.from >= 0 && place.from <= offset);
    }),
  );
  t.pass();
});
