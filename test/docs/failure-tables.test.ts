/** The tables that say what happens when something fails: each row names the tests that it is true by. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { problemKinds } from '../../src/model/fleet-problem.js';

const tables = [
  ['docs/ARCHITECTURE.md', '## What happens when something fails'],
  ['docs/OPERATIONS.md', '## Failures'],
  ['docs/kubernetes.md', '## When something is wrong'],
  ['docs/kubernetes.md', '## When something is away'],
] as const;

/** The cells of the first table below a heading, without those of its head. */
function rowsBelow(file: string, heading: string): readonly (readonly string[])[] {
  const [, below = ''] = readFileSync(file, 'utf8').split(`\n${heading}\n`);
  const lines = below.split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const end = lines.findIndex((line, at) => at > first && !line.startsWith('|'));
  return lines
    .slice(first + 2, end)
    .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\| |\|$/g, '').trim()));
}

for (const [file, heading] of tables) {
  test(`each row of "${heading}" in ${file} names tests that there are`, (t) => {
    const rows = rowsBelow(file, heading);
    t.true(rows.length > 10);
    for (const [what = '', ...cells] of rows) {
      const named = [...(cells.at(-1) ?? '').matchAll(/`([^`]+\.test\.ts)`/g)];
      t.true(named.length > 0, what);
      for (const [, path = ''] of named) t.true(existsSync(join('test', path)), path);
    }
  });
}

/** Of a file of drivers, which there is not on Kubernetes. */
const ELSEWHERE = new Set<string>(['static_drivers_invalid']);

test('every kind of problem that there is on Kubernetes has its row', (t) => {
  const rows = rowsBelow('docs/kubernetes.md', '## When something is wrong');
  const told = rows.map(([kind = '']) => /`(\w+)`/.exec(kind)?.[1] ?? '');
  const kinds = problemKinds.filter((kind) => !ELSEWHERE.has(kind));
  t.deepEqual(told.toSorted(), kinds.toSorted());
});
