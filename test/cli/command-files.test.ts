import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';

test('each command has a file of its own', (t) => {
  const table = readFileSync('src/cli/commands.ts', 'utf8');
  const imported = [...table.matchAll(/from '\.\/(commands\/[^']+)\.js'/g)].map(
    ([, file = '']) => file,
  );
  const there = readdirSync('src/cli/commands').map((file) => `commands/${file.slice(0, -3)}`);
  t.deepEqual(imported.toSorted(), there.toSorted());
});
