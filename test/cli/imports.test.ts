/** A command is one file; what it shares with others it takes from below, never from one that takes from it. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import test from 'ava';

/** What each file of src/cli imports of it, types too. */
function imports(): Map<string, readonly string[]> {
  const files = readdirSync('src/cli', { recursive: true, encoding: 'utf8' });
  return new Map(
    files
      .filter((file) => file.endsWith('.ts'))
      .map((file) => {
        const path = join('src/cli', file);
        const found = readFileSync(path, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g);
        const targets = [...found].map(([, to = '']) =>
          normalize(join(dirname(path), to)).replace(/\.js$/, '.ts'),
        );
        return [path, targets.filter((target) => target.startsWith('src/cli/'))];
      }),
  );
}

test('no file of the command line imports itself by way of others, for types neither', (t) => {
  const left = imports();
  t.true(left.size > 30);
  // Whatever imports nothing that is left is in no circle.
  for (;;) {
    const free = [...left].filter(([, targets]) => targets.every((target) => !left.has(target)));
    if (free.length === 0) break;
    for (const [path] of free) left.delete(path);
  }
  t.deepEqual([...left.keys()], []);
});

test('each command has a file of its own', (t) => {
  const table = readFileSync('src/cli/commands.ts', 'utf8');
  const imported = [...table.matchAll(/from '\.\/(commands\/[^']+)\.js'/g)].map(
    ([, file = '']) => file,
  );
  const there = readdirSync('src/cli/commands').map((file) => `commands/${file.slice(0, -3)}`);
  t.deepEqual(imported.toSorted(), there.toSorted());
});
