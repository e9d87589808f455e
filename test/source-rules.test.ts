/** What the sources of this repository keep to. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import test from 'ava';

// Layers.

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

/** The files that each file of src/ imports, for types only, too; without their endings. */
function importsByFile(): Map<string, string[]> {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' });
  const paths = files.filter((name) => /\.tsx?$/.test(name)).map((name) => join('src', name));
  return new Map(
    paths.map((path) => {
      const targets = readFileSync(path, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)\.js'/g);
      const file = path.replace(/\.tsx?$/, '');
      return [file, Array.from(targets, ([, to = '']) => normalize(join(dirname(path), to)))];
    }),
  );
}

/** `a → b` for each import from one part of src/ to another. */
function imports(): Set<string> {
  const found = new Set<string>();
  for (const [file, targets] of importsByFile()) {
    for (const target of targets) {
      if (partOf(target) !== partOf(file)) found.add(`${partOf(file)} → ${partOf(target)}`);
    }
  }
  return found;
}

/** One circle of imports, if there is any: the files in it, the first again at the end. */
function circle(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const target of graph.get(file) ?? []) {
      const found = visit(target, [...path, file]);
      if (found.length > 0) return found;
    }
    done.add(file);
    return [];
  };
  for (const file of graph.keys()) {
    const found = visit(file, []);
    if (found.length > 0) return found;
  }
  return [];
}

test('the drawing of the layers names every folder of src/, and every import goes down in it', (t) => {
  const { rows, arrows } = drawing();
  const targets = new Set(arrows.map((arrow) => arrow.split(' → ')[1] ?? ''));
  const drawn = [...rows.flat(), ...targets];
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

test('no files import each other in a circle, not for types either', (t) => {
  t.deepEqual(circle(importsByFile()), []);
  t.deepEqual(
    circle(
      new Map([
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['b']],
      ]),
    ),
    ['b', 'c', 'b'],
    'a circle would be found',
  );
});

// Addresses.

/** What says of itself that it is no address, and what hands them out. */
const APART = ['test/model/model.test.ts', 'test/support/loopback.ts', 'test/source-rules.test.ts'];
/** Of this machine but 127.0.0.1, where the system gives a port that is free. */
const TYPED_IN = /\b127\\?\.(?!0\\?\.0\\?\.1\b)\d+\\?\.\d+\\?\.\d*/;
const PORT_TYPED_IN = /\.listen\((?!0\b)\d+/;

function testFiles(): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .map((name) => join('test', name))
    .filter((file) => file.endsWith('.ts') && !APART.includes(file));
}

/** Lines of the tests that break a rule, with their places. */
function linesThat(isWrong: (line: string) => boolean): string[] {
  return testFiles().flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, at) => (isWrong(line) ? [`${file}:${at + 1}: ${line.trim()}`] : [])),
  );
}

test('no test types in an address or a port to listen on: two that run at once would meet', (t) => {
  t.true(testFiles().length > 100);
  t.deepEqual(
    linesThat((line) => TYPED_IN.test(line) || PORT_TYPED_IN.test(line)),
    [],
    'use unusedAddress() of test/support/loopback.ts, or 192.0.2.x for mere data',
  );
});

// Time.

/** Of package.json; the other suites have more. */
const LEAST_TIMEOUT_MS = 120_000;

function isLonger(line: string): boolean {
  const [, given] = /\bt\.timeout\(([^,)]*)/.exec(line) ?? [];
  return given !== undefined && !(Number(given.replaceAll('_', '')) < LEAST_TIMEOUT_MS);
}

test('no test gives itself more time than its suite has, which ava would never end again', (t) => {
  t.true(isLonger('  t.timeout(600_000);'));
  t.false(isLonger("  t.timeout(8_000, 'in time');"));
  t.deepEqual(linesThat(isLonger), []);
});
