import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import test from 'ava';

/** `docs/ARCHITECTURE.md`: one row for each layer, the highest first; `a → b` allows an arrow within a row. */
function drawing(): { readonly rows: string[][]; readonly arrows: string[] } {
  const text = readFileSync('docs/ARCHITECTURE.md', 'utf8');
  const block = /```layers\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
  const arrows: string[] = [];
  const rows = block
    .trim()
    .split('\n')
    .map((line) =>
      line.split(/ {2,}/).map((entry) => {
        const [from = '', to] = entry.split(' → ');
        if (to) arrows.push(`${from} → ${to}`);
        return from;
      }),
    );
  return { rows, arrows };
}

/** The folder below src/, or the name of a file directly in it. */
const partOf = (path: string) => path.split(sep)[1]?.replace(/\.[jt]s$/, '') ?? '';

/** `a → b` for each import from one part of src/ to another. */
function imports(): Set<string> {
  const found = new Set<string>();
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((name) => /\.tsx?$/.test(name))) {
    const path = join('src', file);
    for (const [, to = ''] of readFileSync(path, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const target = partOf(normalize(join(dirname(path), to)));
      if (target !== partOf(path)) found.add(`${partOf(path)} → ${target}`);
    }
  }
  return found;
}

test('the drawing of the layers names every folder of src/, and every import goes down in it', (t) => {
  const { rows, arrows } = drawing();
  const drawn = [...rows.flat(), ...arrows.map((arrow) => arrow.split(' → ')[1] ?? '')];
  const parts = readdirSync('src').map((name) => name.replace(/\.ts$/, ''));
  t.deepEqual(drawn.toSorted(), parts.toSorted());
  const depth = (part: string) =>
    rows.findIndex(
      (row) =>
        row.includes(part) ||
        arrows.some(
          (arrow) => arrow.endsWith(` ${part}`) && row.includes(arrow.split(' → ')[0] ?? ''),
        ),
    );
  const wrong = [...imports()].filter((arrow) => {
    const [from = '', to = ''] = arrow.split(' → ');
    return depth(to) <= depth(from) && !arrows.includes(arrow);
  });
  t.deepEqual(wrong, []);
});

test('an arrow of the drawing stands for an import that there is', (t) => {
  const there = imports();
  t.deepEqual(
    drawing().arrows.filter((arrow) => !there.has(arrow)),
    [],
  );
});
