import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  readIfThere,
  readTextIfThere,
  createFile,
  removeUnfinished,
  replaceFile,
} from '../../../src/lib/files/files.js';

async function folder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'files-'));
}

/** What a crash leaves between the write of a temporary file and its rename. */
function unfinished(name: string): string {
  return `.${name}.0b0c1f0e-89a9-4a6a-a7a5-000000000000.tmp`;
}

test('a file is replaced as a whole, for its owner alone, and nothing else is left', async (t) => {
  const path = join(await folder(), 'state.json');
  await replaceFile(path, 'a long text');
  await replaceFile(path, Buffer.from('short'));
  t.is(await readTextIfThere(path), 'short');
  t.is((await stat(path)).mode & 0o777, 0o600);
  t.deepEqual(await readdir(join(path, '..')), ['state.json']);
});

test('of many that replace a file at once none fails, and the file is that of one of them', async (t) => {
  const path = join(await folder(), 'state.json');
  const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
  await Promise.all(texts.map((text) => replaceFile(path, text)));
  t.true(texts.includes(await readFile(path, 'utf8')));
  t.deepEqual(await readdir(join(path, '..')), ['state.json']);
});

test('a file that cannot be replaced leaves nothing behind', async (t) => {
  const path = await folder();
  await t.throwsAsync(replaceFile(path, 'a folder is there'), { code: 'EISDIR' });
  t.deepEqual(await readdir(path), []);
  t.false(
    (await readdir(join(path, '..'))).some((name) =>
      name.startsWith(`.${path.split('/').at(-1)}.`),
    ),
  );
});

test('of many that make a file at once one does, and it stays as it was made', async (t) => {
  const path = join(await folder(), 'keys.json');
  const made = await Promise.all(
    Array.from({ length: 10 }, async (_, i) => ((await createFile(path, `${i}`)) ? [`${i}`] : [])),
  );
  t.deepEqual(made.flat(), [await readFile(path, 'utf8')]);
  t.false(await createFile(path, 'later'));
  t.deepEqual(await readdir(join(path, '..')), ['keys.json']);
});

test('what a crash left of one file is removed, and nothing of others', async (t) => {
  const place = await folder();
  const names = ['a', unfinished('b'), '.a.tmp', unfinished('.a')];
  for (const name of [...names, unfinished('a')]) await writeFile(join(place, name), 'x');
  await removeUnfinished(join(place, 'a'));
  t.deepEqual((await readdir(place)).toSorted(), names.toSorted());
});

test('a file that is not there is told from one that cannot be read', async (t) => {
  const place = await folder();
  t.is(await readIfThere(join(place, 'none')), undefined);
  t.is(await readTextIfThere(join(place, 'none')), undefined);
  await t.throwsAsync(readIfThere(place), { code: 'EISDIR' });
});
