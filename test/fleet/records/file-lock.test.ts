import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { FileLock } from '../../../src/fleet/records/file-lock.js';

async function folderFor(t: { teardown(fn: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lock-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Another process that takes the lock and ends without giving it up. */
async function holdElsewhere(folder: string) {
  const module = fileURLToPath(new URL('../../../src/fleet/records/file-lock.js', import.meta.url));
  const program = `
    const { FileLock } = await import(${JSON.stringify(module)});
    const lock = await FileLock.acquire(${JSON.stringify(folder)});
    process.stdout.write(String(lock.epoch()));
    process.stdin.resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [epoch] = await once(child.stdout, 'data');
  return { child, epoch: Number(epoch) };
}

test('a second starter is told who holds the lock', async (t) => {
  const folder = await folderFor(t);
  const lock = await FileLock.acquire(folder);
  t.is(lock.epoch(), 1);
  const error = await t.throwsAsync(FileLock.acquire(folder), { code: 'SETTINGS_INVALID' });
  t.true(error?.message.includes(String(process.pid)));
});

test('epochs grow over releases, and a released lock is no leadership', async (t) => {
  const folder = await folderFor(t);
  for (const expected of [1, 2, 3]) {
    const lock = await FileLock.acquire(folder);
    t.is(lock.epoch(), expected);
    await lock.release();
    t.is(lock.epoch(), undefined);
  }
  t.deepEqual(await readdir(folder), ['epoch-3']);
});

test('the lock of a killed process is taken over, under a higher epoch', async (t) => {
  const folder = await folderFor(t);
  const { child, epoch } = await holdElsewhere(folder);
  await t.throwsAsync(FileLock.acquire(folder), { message: new RegExp(`process ${child.pid}`) });
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = await FileLock.acquire(folder);
  t.is(lock.epoch(), epoch + 1);
});

test('a process that merely has the same pid does not hold it', async (t) => {
  const folder = await folderFor(t);
  const holder = { pid: process.pid, startedAt: 'before the last boot', released: false };
  await writeFile(join(folder, 'epoch-7'), JSON.stringify(holder));
  t.is((await FileLock.acquire(folder)).epoch(), 8);
});

test('of many starters at once exactly one wins', async (t) => {
  const folder = await folderFor(t);
  await (await FileLock.acquire(folder)).release();
  const starts = await Promise.allSettled(
    Array.from({ length: 20 }, () => FileLock.acquire(folder)),
  );
  t.is(starts.filter((start) => start.status === 'fulfilled').length, 1);
});

test('a lock file that cannot be read is not taken for a free lock', async (t) => {
  const folder = await folderFor(t);
  await writeFile(join(folder, 'epoch-4'), 'who knows');
  await t.throwsAsync(FileLock.acquire(folder), { message: /epoch-4 cannot be read/ });
});
