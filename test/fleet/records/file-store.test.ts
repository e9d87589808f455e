import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { pino } from 'pino';
import { FileLock } from '../../../src/fleet/records/file-lock.js';
import { FileRecordStore } from '../../../src/fleet/records/file-store.js';
import { addressOfReplica, replicaIdentity } from '../../../src/fleet/records/kubernetes-lease.js';
import { withoutSession, withSession } from '../../../src/model/driver-record.js';
import {
  alice,
  driverRecord,
  sessionId,
  sessionRecord,
  START_MS,
} from '../../support/driver-records.js';

// The store.

async function setUp(t: { teardown(fn: () => Promise<void>): void }) {
  const parent = await mkdtemp(join(tmpdir(), 'records-'));
  t.teardown(() => rm(parent, { recursive: true, force: true }));
  const folder = join(parent, 'drivers');
  const lines: Record<string, unknown>[] = [];
  const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
  const open = () => FileRecordStore.open(folder, logger);
  return { folder, lines, open };
}

const full = withoutSession(
  withSession(
    withSession(
      driverRecord('pod/ä..1', { resource: 'hot-1', reason: 'made', drainDeadlineMs: 7, epoch: 3 }),
      sessionRecord(sessionId(1)),
      START_MS,
    ),
    sessionRecord(sessionId(2)),
    START_MS,
  ),
  sessionId(2),
  'expired',
  START_MS + 1,
);

test('a record comes back after a restart exactly as it was written', async (t) => {
  const { open } = await setUp(t);
  const version = await (await open()).write(full, undefined);
  t.deepEqual(await (await open()).list(), [{ record: full, version }]);
});

test('records are for the owner alone', async (t) => {
  const { folder, open } = await setUp(t);
  await (await open()).write(full, undefined);
  const file = (await readdir(folder)).find((name) => name.endsWith('.json'));
  t.is((await stat(join(folder, file ?? ''))).mode & 0o777, 0o600);
  t.is((await stat(folder)).mode & 0o777, 0o700);
});

test('a write needs the version that was last seen', async (t) => {
  const store = await (await setUp(t)).open();
  const conflict = { code: 'RECORD_CONFLICT' };
  const first = await store.write(driverRecord('d1'), undefined);
  await t.throwsAsync(store.write(driverRecord('d1'), undefined), conflict);
  const second = await store.write(driverRecord('d1', { port: 1 }), first);
  await t.throwsAsync(store.write(driverRecord('d1'), first), conflict);
  t.is((await store.read('d1'))?.version, second);
  await t.throwsAsync(store.delete('d1', first), conflict);
  await store.delete('d1', second);
  await store.delete('d1', second);
  t.is(await store.read('d1'), undefined);
  await t.throwsAsync(store.write(driverRecord('d1'), second), conflict);
});

test('a record that another process wrote is noticed by one that wrote it before', async (t) => {
  const { open } = await setUp(t);
  const [store, other] = [await open(), await open()];
  const first = await store.write(driverRecord('d1'), undefined);
  const second = await other.write(driverRecord('d1', { port: 1 }), first);
  await t.throwsAsync(store.write(driverRecord('d1'), first), { code: 'RECORD_CONFLICT' });
  const third = await store.write(driverRecord('d1', { port: 2 }), second);
  await other.delete('d1', third);
  await t.throwsAsync(store.write(driverRecord('d1'), third), { code: 'RECORD_CONFLICT' });
});

const damaged: [string, (text: string) => string][] = [
  ['half a file', (text) => text.slice(0, text.length / 2)],
  ['an empty file', () => ''],
  ['a list', () => '[]'],
  ['an unknown phase', (text) => text.replace('"in_use"', '"asleep"')],
  ['a session without a principal', (text) => text.replace('"principal"', '"principle"')],
  ['a time that is no number', (text) => text.replace(`${START_MS}`, '"yesterday"')],
  ['a later format', (text) => text.replace('"format": 1', '"format": 2')],
  ["another driver's record", (text) => text.replace('"uid": "d1"', '"uid": "d2"')],
];
for (const [name, damage] of damaged) {
  test(`${name} in place of a record is set aside and reported; the others are read`, async (t) => {
    const { folder, lines, open } = await setUp(t);
    const store = await open();
    await store.write({ ...full, uid: 'd1' }, undefined);
    await store.write(driverRecord('d3'), undefined);
    const file = join(folder, 'd1.json');
    const content = damage(await readFile(file, 'utf8'));
    await writeFile(file, content);
    const again = await open();
    t.deepEqual(
      (await again.list()).map(({ record }) => record.uid),
      ['d3'],
    );
    const [unreadable] = await (await open()).unreadable();
    t.is(unreadable?.uid, 'd1');
    t.is(await readFile(unreadable?.file ?? '', 'utf8'), content);
    t.is(lines.filter((line) => line['driver'] === 'd1' && line['level'] === 50).length, 1);
    t.false(JSON.stringify(lines).includes(alice.subject));
  });
}

test('what a crash left of an unfinished write is removed, and foreign files are left alone', async (t) => {
  const { folder, lines, open } = await setUp(t);
  const store = await open();
  await store.write(driverRecord('d1'), undefined);
  await writeFile(join(folder, '.d1.json.0b0c1f0e-89a9-4a6a-a7a5-000000000000.tmp'), '{"for');
  await writeFile(join(folder, 'notes.txt'), 'by hand');
  t.is((await store.list()).length, 1);
  t.deepEqual((await readdir(folder)).toSorted(), ['d1.json', 'notes.txt', 'unreadable']);
  t.true(lines.some((line) => line['file'] === 'notes.txt'));
});

// Its lock.

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

// Names of replicas.

test('a replica is reached at the address in its identity, which no other process has', (t) => {
  const one = replicaIdentity('gateway-7f9c-x', '10.1.2.3:18001');
  t.is(addressOfReplica(one), '10.1.2.3:18001');
  t.not(replicaIdentity('gateway-7f9c-x', '10.1.2.3:18001'), one);
  t.is(addressOfReplica(replicaIdentity('a@b', '[fd00::1]:18001')), '[fd00::1]:18001');
});

test('a holder of another kind has no address', (t) => {
  for (const holder of ['', 'somebody', 'somebody@10.1.2.3:18001', 'a_b@c']) {
    t.is(addressOfReplica(holder), undefined, holder);
  }
});
