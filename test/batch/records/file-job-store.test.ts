import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileJobStore } from '../../../src/batch/records/file-job-store.js';
import { decodeJob, encodeJob } from '../../../src/batch/records/job-codec.js';
import type { JobRecord } from '../../../src/batch/records/job-record.js';
import type { StoredJob, UnreadableJob } from '../../../src/batch/records/job-store.js';
import { BatchWorld } from '../../support/batch-world.js';
import { settle } from '../../support/manual-clock.js';

async function record(): Promise<JobRecord> {
  const world = new BatchWorld();
  await settle();
  const { record: made } = await world.submit();
  await world.close();
  return made;
}

async function open(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'job-store-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, store: await FileJobStore.open(folder) };
}

async function all(store: FileJobStore): Promise<(StoredJob | UnreadableJob)[]> {
  const found: (StoredJob | UnreadableJob)[] = [];
  for await (const entry of store.list()) found.push(entry);
  return found;
}

test('a record comes back as it was, its job file too, and only its owner may read it', async (t) => {
  const { folder, store } = await open(t);
  const made: JobRecord = {
    ...(await record()),
    rowCount: 2n ** 62n,
    startedAtMs: 1_700_000_000_001,
    end: { by: 'user', atMs: 5, reason: { code: 'CANCELLED', message: 'x', line: 1 } },
  };
  const version = await store.write(made, undefined);
  t.deepEqual(await all(store), [{ record: made, version }]);
  const [file = ''] = readdirSync(folder);
  t.is(statSync(join(folder, file)).mode & 0o077, 0);
  t.deepEqual(decodeJob(JSON.parse(JSON.stringify(encodeJob(made)))), made);
});

test('a write from an old version is refused; so is a second record of one id', async (t) => {
  const { store } = await open(t);
  const made = await record();
  const first = await store.write(made, undefined);
  await t.throwsAsync(store.write(made, undefined), { code: 'RECORD_CONFLICT' });
  const second = await store.write({ ...made, attempt: 1 }, first);
  await t.throwsAsync(store.write(made, first), { code: 'RECORD_CONFLICT' });
  await t.throwsAsync(store.delete(made.job.id, first), { code: 'RECORD_CONFLICT' });
  await store.writeLog(made.job.id, Buffer.from('log'));
  await store.delete(made.job.id, second);
  t.is(await store.read(made.job.id), undefined);
  t.is(await store.readLog(made.job.id), undefined, 'the log goes with its record');
});

test('a file that is no record, half a write, or one with a null in it, stops no other', async (t) => {
  const { folder, store } = await open(t);
  const made = await record();
  await store.write(made, undefined);
  writeFileSync(join(folder, 'job-bad.json'), '{"format":1,"version":"v","job":null,"status":{}}');
  writeFileSync(join(folder, 'job-half.json'), '{"format":1,');
  writeFileSync(join(folder, '.job-x.json.0f8b6f8e-0000-4000-8000-000000000000.tmp'), '{');
  const found = await all(store);
  t.deepEqual(
    found.map((entry) => ('record' in entry ? entry.record.job.id : entry.id)).toSorted(),
    [made.job.id, 'job-bad', 'job-half'].toSorted(),
  );
});
