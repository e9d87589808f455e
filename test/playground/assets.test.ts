import test from 'ava';
import { readFile, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const folder = fileURLToPath(new URL('../../src/playground/assets/', import.meta.url));
const read = (name: string) => readFile(`${folder}${name}`, 'utf8');

test('the page is one script and one style sheet, and asks no other origin for anything', async (t) => {
  t.deepEqual((await readdir(folder)).toSorted(), [
    'icon.svg',
    'index.html',
    'main.js',
    'page.css',
    'theme.js',
  ]);
  const html = await read('index.html');
  for (const [, address = ''] of html.matchAll(/(?:src|href)="([^"]*)"/g)) {
    t.regex(address, /^\/assets\/[a-z.]+$/);
  }
  t.notRegex(await read('page.css'), /url\(|@import/);
  t.false(/\bimport\s*\(|^import\b|[;}]import\s*[{"']/.test(await read('main.js')), 'all is in it');
});

/** docs/playground.md says what it is; a dependency that doubles it is to be noticed. */
const MOST_BYTES = 220_000;

test('the script is as small as it is said to be', async (t) => {
  const zipped = gzipSync(await read('main.js'), { level: 9 }).length;
  t.true(zipped < MOST_BYTES, `${zipped} bytes with gzip`);
});
