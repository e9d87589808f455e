import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import { withoutSession, withSession } from '../../../src/model/driver-record.js';
import { FileRecordStore } from '../../../src/fleet/records/file-store.js';
import {
  alice,
  driverRecord,
  sessionId,
  sessionRecord,
  START_MS,
} from '../../support/driver-records.js';

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
