import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import {
  createFile,
  readIfThere,
  readTextIfThere,
  removeUnfinished,
  replaceFile,
  replaceStamped,
  stampOf,
  syncFolder,
} from '../../src/lib/files/files.js';
import { deleteFolderBelow } from '../../src/lib/storage/file-object.js';
import { objectIn, openStorage } from '../../src/lib/storage/storage.js';

// Files that are replaced whole.

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

test('a stamp is of one file, and of what is written to it', async (t) => {
  const path = join(await folder(), 'state.json');
  t.is(await stampOf(path), undefined);
  const stamp = await replaceStamped(path, 'one');
  t.is(await stampOf(path), stamp);
  await writeFile(path, 'two');
  t.not(await stampOf(path), stamp);
  t.not(await replaceStamped(path, 'one'), stamp);
});

test('of those who have a folder made durable at once each is told, also of a failure', async (t) => {
  const place = await folder();
  await Promise.all(Array.from({ length: 10 }, () => syncFolder(place)));
  const missing = join(place, 'missing');
  const failed = await Promise.allSettled([syncFolder(missing), syncFolder(missing)]);
  t.true(failed.every(({ status }) => status === 'rejected'));
  await replaceFile(join(place, 'a'), 'x');
  t.is(await readTextIfThere(join(place, 'a')), 'x');
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

// Files as objects.

function world(t: ExecutionContext) {
  const base = mkdtempSync(join(tmpdir(), 'storage-'));
  t.teardown(() => rmSync(base, { recursive: true }));
  const root = join(base, 'out');
  mkdirSync(root);
  writeFileSync(join(base, 'secret'), 'secret');
  const storage = openStorage({
    folders: [root],
    s3: { endpoint: undefined, region: undefined, pathStyle: false },
  });
  const url = pathToFileURL(root).href;
  const put = (name: string, text: string) => writeFileSync(join(root, name), text);
  return { base, root, url, put, storage };
}

test('a file is read as a whole; one that is not there is none', async (t) => {
  const { storage, url, put } = world(t);
  put('a b.json', '{"x": "ä"}');
  t.is((await storage.read(objectIn(`${url}/`, 'a%20b.json'), 100))?.toString(), '{"x": "ä"}');
  t.is(await storage.read(objectIn(url, 'none.json'), 100), undefined);
  t.is(await storage.read(objectIn(url, 'a%20b.json/below'), 100), undefined);
  put('empty', '');
  t.is((await storage.read(objectIn(url, 'empty'), 100))?.length, 0);
});

test('as many bytes as are allowed are read, and one more is refused', async (t) => {
  const { storage, url, put } = world(t);
  put('x', 'x'.repeat(10));
  t.is((await storage.read(objectIn(url, 'x'), 10))?.length, 10);
  await t.throwsAsync(storage.read(objectIn(url, 'x'), 9), {
    code: 'RESULTS_UNREADABLE',
    message: /more than 9 bytes/,
  });
});

test('nothing outside of the folder is read: by dots, by a link, by a neighbour of like name', async (t) => {
  const { storage, base, root, url } = world(t);
  symlinkSync(join(base, 'secret'), join(root, 'link'));
  symlinkSync(base, join(root, 'up'));
  mkdirSync(`${root}-other`);
  writeFileSync(`${root}-other/secret`, 'secret');
  for (const name of ['../secret', '%2e%2e/secret', 'link', 'up/secret', '../out-other/secret']) {
    await t.throwsAsync(
      storage.read(`${url}/${name}`, 100),
      { code: 'RESULTS_UNREADABLE', message: /none of the folders/ },
      name,
    );
  }
});

test('a folder, a pipe and another host are refused at once', async (t) => {
  const { storage, root, url } = world(t);
  mkdirSync(join(root, 'folder'));
  execFileSync('mkfifo', [join(root, 'pipe')]);
  for (const wrong of [
    `${url}/folder`,
    `${url}/pipe`,
    'file://elsewhere/etc/passwd',
    `${url}/%00`,
  ]) {
    await t.throwsAsync(storage.read(wrong, 100), { code: 'RESULTS_UNREADABLE' }, wrong);
  }
});

test('other schemes are refused with those that there are', async (t) => {
  const { storage } = world(t);
  for (const wrong of ['http://example.com/x', '/etc/passwd', '', 'hdfs://x/y']) {
    await t.throwsAsync(storage.read(wrong, 100), { message: /file:\/\/ or s3:\/\// }, wrong);
  }
});

test('an S3 that cannot be reached is doubt, and is said with its URL', async (t) => {
  const storage = openStorage({
    folders: [],
    s3: { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', pathStyle: true },
  });
  const keys = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test-secret' };
  for (const [name, key] of Object.entries(keys)) {
    if (name in process.env) continue;
    process.env[name] = key;
    t.teardown(() => {
      delete process.env[name];
    });
  }
  const error = await t.throwsAsync(storage.read('s3://bucket/a/_status.json', 100), {
    code: 'RESULTS_UNREADABLE',
    message: /s3:\/\/bucket\/a\/_status.json/,
  });
  t.notRegex(error?.message ?? '', /test-secret/);
});

test('a folder is deleted with all that is in it; links in it lead nowhere', async (t) => {
  const { base, root, url, put } = world(t);
  mkdirSync(join(root, 'team/job/sinks'), { recursive: true });
  put('team/job/_status.json', '{}');
  put('team/job/sinks/part', 'rows');
  put('neighbour', 'stays');
  mkdirSync(join(base, 'elsewhere'));
  writeFileSync(join(base, 'elsewhere/data'), 'stays');
  symlinkSync(join(base, 'elsewhere'), join(root, 'team/job/link'));
  symlinkSync(join(base, 'elsewhere'), join(root, 'team/linked-job'));
  for (const name of ['team/job', 'team/linked-job', 'team/none', 'none/none']) {
    await deleteFolderBelow(root, new URL(objectIn(url, name)));
  }
  t.deepEqual(readdirSync(join(root, 'team')), []);
  t.true(existsSync(join(root, 'neighbour')));
  t.true(existsSync(join(base, 'elsewhere/data')));
});

test('no folder outside is deleted, nor the root: by dots, by a link, by a neighbour of like name', async (t) => {
  const { base, root, url } = world(t);
  mkdirSync(join(base, 'elsewhere/job'), { recursive: true });
  mkdirSync(`${root}-other`);
  symlinkSync(join(base, 'elsewhere'), join(root, 'team'));
  for (const name of ['team/job', '../elsewhere', '%2e%2e/out-other', '.', '']) {
    const asked = new URL(objectIn(url, name));
    await t.throwsAsync(deleteFolderBelow(root, asked), { message: /not below/ }, name);
  }
  await t.throwsAsync(deleteFolderBelow(root, new URL('s3://bucket/team/job')));
  for (const path of [`${base}/elsewhere/job`, `${root}-other`, root]) t.true(existsSync(path));
});
