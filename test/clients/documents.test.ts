import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { examples, read, root } from './fixture.js';

const pages = readdirSync(join(root, 'docs/clients')).map((name) => ({
  name,
  text: read(root, 'docs/clients', name),
}));

test('the pages hold the examples that the tests run, word for word', (t) => {
  const found: string[] = [];
  for (const { name, text } of pages) {
    for (const [, path = '', code] of text.matchAll(
      /^`(clients\/examples\/[^`]+)`:\n\n```\w+\n([\s\S]*?)^```$/gm,
    )) {
      t.is(code, readFileSync(join(root, path), 'utf8'), `${name}: ${path}`);
      found.push(path);
    }
  }
  t.is(found.length, 7, found.join(', '));
});

test('the page of notebooks holds cells of the notebook', (t) => {
  const notebook = JSON.parse(read(examples, 'notebook/explore.ipynb')) as {
    readonly cells: readonly { readonly cell_type: string; readonly source: string | string[] }[];
  };
  const cells = notebook.cells.map(({ source }) => [source].flat().join(''));
  const page = pages.find(({ name }) => name === 'notebook.md')?.text ?? '';
  const blocks = [...page.matchAll(/^```python\n([\s\S]*?)\n```$/gm)].map(([, code]) => code ?? '');
  t.true(blocks.length >= 4);
  for (const block of blocks) t.true(cells.includes(block), block);
});

test('the Buildkite pipeline has steps that Buildkite knows, and no secret', (t) => {
  const text = read(examples, 'ci/buildkite-pipeline.yml');
  const pipeline = parse(text) as { readonly steps: readonly Record<string, unknown>[] };
  // https://buildkite.com/docs/pipelines/configure/step-types/command-step
  const known = new Set([
    'label',
    'key',
    'commands',
    'timeout_in_minutes',
    'retry',
    'plugins',
    'env',
    'agents',
  ]);
  for (const step of pipeline.steps) {
    t.deepEqual(
      Object.keys(step).filter((name) => !known.has(name)),
      [],
    );
    t.true(Array.isArray(step['commands']));
  }
  t.notRegex(text, /token:|TOKEN=|secret:/i);
});
