/** Batch jobs as processes of this machine: from their creation to their end, whoever is killed between. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { ApplicationFolders, findMarked } from '../../src/batch/local/application-folders.js';
import { stopLocalBatch } from '../../src/batch/local/attempt-processes.js';
import { LocalBatch } from '../../src/batch/local/local-batch.js';
import { systemClock } from '../../src/model/clock.js';
import { isAlive } from '../../src/lib/child-processes/proc.js';
import { temporaryFolder } from '../support/local-world.js';
import {
  hasEnded,
  jobToRun,
  logOf,
  NAMESPACE,
  openLocalBatch,
  standInJob,
  untilJob,
} from '../support/local-batch.js';
import { processEnded } from '../support/process-ended.js';
import { ManualClock } from '../support/manual-clock.js';

const runs = (text: string) => (status: { report?: { state: string } } | undefined) =>
  status?.report?.state === text;

async function openNew(t: ExecutionContext, options = {}) {
  const stateFolder = await temporaryFolder(t);
  return { stateFolder, batch: await openLocalBatch(t, { stateFolder, ...options }) };
}

/** The process of the job itself, and not its supervisor. */
async function programOf(stateFolder: string, id: string) {
  const marked = await findMarked(stateFolder, id);
  const found = marked.find(({ id: { pid } }) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('stand-in-job'),
  );
  return found?.id ?? { pid: -1, startTime: 'none' };
}

async function supervisorOf(stateFolder: string, id: string) {
  const marked = await findMarked(stateFolder, id);
  const found = marked.find(({ id: { pid } }) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('attempt-supervisor'),
  );
  return found?.id ?? { pid: -1, startTime: 'none' };
}

async function untilGone(batch: LocalBatch, id: string): Promise<void> {
  await untilJob(batch, id, (status) => status === undefined);
}

test('a job runs, ends, and says what came of it', async (t) => {
  const { batch, stateFolder } = await openNew(t);
  await batch.create(jobToRun('job-a', 'complete'));
  const status = await untilJob(batch, 'job-a', hasEnded);
  t.like(status, { state: 'SUCCEEDED', exitCode: 0, attempt: 1, applicationId: 'app-1' });
  t.like(status?.report, { state: 'COMPLETED', rowCount: 3n });
  t.true((status?.endedAtMs ?? 0) >= (status?.startedAtMs ?? Infinity));
  const [line] = await logOf(batch, 'job-a');
  t.is(line?.text, 'attempt 1');
  t.regex(line?.time ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  t.is(statSync(stateFolder).mode & 0o077, 0);
  const attempt = join(stateFolder, 'applications/job-a/attempt-1');
  t.false(readdirSync(attempt).includes('work'), 'scratch space goes with the process');
});

test('the same job twice is one; another under its id is refused', async (t) => {
  const { batch } = await openNew(t);
  const job = jobToRun('job-a', 'hang');
  await Promise.all([batch.create(job), batch.create(job), batch.create({ ...job })]);
  await batch.create(job);
  t.is([...batch.all()].length, 1);
  const other = { ...job, jobFile: Buffer.from('another') };
  await t.throwsAsync(batch.create(other), { code: 'JOB_EXISTS' });
  await t.throwsAsync(batch.create({ ...job, namespace: 'sjns-x' }), { code: 'JOB_EXISTS' });
  t.is(batch.status('sjns-x', 'job-a'), undefined);
});

test('a job that fails is told with its exit code, and with its own words', async (t) => {
  const { batch } = await openNew(t);
  await batch.create(jobToRun('job-a', 'fail 13'));
  await batch.create(jobToRun('job-b', 'killed'));
  await batch.create(jobToRun('job-c', 'exit-silently 0'));
  t.like(await untilJob(batch, 'job-a', hasEnded), {
    state: 'FAILED',
    exitCode: 13,
    reason: { code: 'STEP_FAILED', message: 'It broke.' },
  });
  const killed = await untilJob(batch, 'job-b', hasEnded);
  t.like(killed, { state: 'FAILED', exitCode: 137, report: undefined });
  t.regex(killed?.reason?.message ?? '', /killed \(SIGKILL\), perhaps for want of memory/);
  const silent = await untilJob(batch, 'job-c', hasEnded);
  t.like(silent, { state: 'SUCCEEDED', exitCode: 0, report: undefined });
});

test('a job is tried again where it may be, but not what fails with every attempt', async (t) => {
  const { batch } = await openNew(t);
  const seen = new Set<string>();
  batch.onChange((namespace, id) => {
    const status = batch.status(namespace, id);
    if (status) seen.add(`${id} ${status.attempt} ${status.state} ${status.retrying ?? false}`);
  });
  await batch.create(jobToRun('job-a', 'fail-once', { retries: true }));
  await batch.create(jobToRun('job-b', 'fail 11', { retries: true }));
  t.like(await untilJob(batch, 'job-a', hasEnded), { state: 'SUCCEEDED', attempt: 2 });
  t.true(seen.has('job-a 1 PENDING true'));
  t.like(await untilJob(batch, 'job-b', hasEnded), { state: 'FAILED', attempt: 1 });
  t.deepEqual(
    (await logOf(batch, 'job-a')).map(({ attempt, text }) => `${attempt} ${text}`),
    ['2 attempt 2'],
  );
  await batch.create(jobToRun('job-c', 'fail 13', { retries: true }));
  t.like(await untilJob(batch, 'job-c', hasEnded), { state: 'FAILED', attempt: 3 });
});

test('as many run at a time as may; the others wait and say for what', async (t) => {
  const { batch } = await openNew(t, { atOnce: 1 });
  await batch.create(jobToRun('job-a', 'hang'));
  await batch.create(jobToRun('job-b', 'complete'));
  await untilJob(batch, 'job-a', runs('RUNNING'));
  t.like(batch.status(NAMESPACE, 'job-b'), {
    state: 'PENDING',
    attempt: 0,
    reason: {
      code: 'QUEUED',
      message: 'It waits for its turn: 1 jobs run at a time on this machine, and 1 came before it.',
    },
  });
  t.deepEqual(await logOf(batch, 'job-b'), []);
  await batch.delete(NAMESPACE, 'job-a');
  t.like(await untilJob(batch, 'job-b', hasEnded), { state: 'SUCCEEDED' });
});

test("while it runs there is Spark's page, and a log that can be followed to its end", async (t) => {
  const { batch, stateFolder } = await openNew(t);
  await batch.create(jobToRun('job-a', 'hang'));
  const status = await untilJob(batch, 'job-a', runs('RUNNING'));
  t.like(status, { state: 'RUNNING', uiUrl: 'http://127.0.0.1:40404' });
  const followed = logOf(batch, 'job-a', { follow: true });
  process.kill((await programOf(stateFolder, 'job-a')).pid, 'SIGTERM');
  t.deepEqual(
    (await followed).map(({ text }) => text),
    ['attempt 1', 'it runs'],
  );
  t.like(await untilJob(batch, 'job-a', hasEnded), { state: 'FAILED', exitCode: 143 });
});

test('what is deleted ends with all that it has started, even if it does not want to', async (t) => {
  const { batch, stateFolder } = await openNew(t, { graceMs: 300 });
  await batch.create(jobToRun('job-a', 'stubborn'));
  await untilJob(batch, 'job-a', runs('RUNNING'));
  const program = await programOf(stateFolder, 'job-a');
  t.true(isAlive(program));
  t.true(await batch.remains(NAMESPACE, 'job-a'));
  await Promise.all([batch.delete(NAMESPACE, 'job-a'), batch.delete(NAMESPACE, 'job-a')]);
  await untilGone(batch, 'job-a');
  t.false(await batch.remains(NAMESPACE, 'job-a'));
  t.false(isAlive(program));
  t.deepEqual(await findMarked(stateFolder), []);
  t.deepEqual(readdirSync(join(stateFolder, 'applications')), []);
  t.deepEqual(await logOf(batch, 'job-a'), []);
  await batch.delete(NAMESPACE, 'job-a');
});

test('a job outlives the gateway; the next one follows it to its end', async (t) => {
  const { batch: before, stateFolder } = await openNew(t);
  await before.create(jobToRun('job-a', 'hang'));
  await untilJob(before, 'job-a', runs('RUNNING'));
  await before.close();
  const program = await programOf(stateFolder, 'job-a');
  const batch = await openLocalBatch(t, { stateFolder });
  t.like(batch.status(NAMESPACE, 'job-a'), {
    state: 'RUNNING',
    attempt: 1,
    uiUrl: 'http://127.0.0.1:40404',
  });
  process.kill(program.pid, 'SIGTERM');
  t.like(await untilJob(batch, 'job-a', hasEnded), { state: 'FAILED', exitCode: 143 });
});

test('the end of a job is known although no gateway was there', async (t) => {
  const { batch: before, stateFolder } = await openNew(t);
  await before.create(jobToRun('job-a', 'hang'));
  await before.create(jobToRun('job-b', 'hang'));
  await before.create(jobToRun('job-c', 'complete'));
  await untilJob(before, 'job-a', runs('RUNNING'));
  await untilJob(before, 'job-b', runs('RUNNING'));
  await before.close();
  const supervisor = await supervisorOf(stateFolder, 'job-a');
  process.kill((await programOf(stateFolder, 'job-a')).pid, 'SIGTERM');
  await processEnded(supervisor.pid);
  const batch = await openLocalBatch(t, { stateFolder });
  t.like(batch.status(NAMESPACE, 'job-a'), { state: 'FAILED', exitCode: 143 });
  t.like(batch.status(NAMESPACE, 'job-b'), { state: 'RUNNING' });
  t.like(await untilJob(batch, 'job-c', hasEnded), { state: 'SUCCEEDED' });
});

test('who does not lead starts nothing and knows nothing; who begins to lead knows what is there', async (t) => {
  const { batch, stateFolder } = await openNew(t);
  const follower = new LocalBatch({
    stateFolder,
    makeCommand: standInJob,
    clock: systemClock,
    log: pino({ enabled: false }),
  });
  t.teardown(() => follower.close());
  await batch.create(jobToRun('job-a', 'hang'));
  await untilJob(batch, 'job-a', runs('RUNNING'));
  t.throws(() => follower.status(NAMESPACE, 'job-a'), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  await t.throwsAsync(follower.create(jobToRun('job-b', 'hang')), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
  });
  await batch.close();
  t.throws(() => batch.status(NAMESPACE, 'job-a'), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  const told = new Promise<string>((resolve) => {
    follower.onChange((_, id) => resolve(id));
  });
  t.is(await told, 'job-a');
  t.like(follower.status(NAMESPACE, 'job-a'), { state: 'RUNNING', attempt: 1 });
  await follower.delete(NAMESPACE, 'job-a');
  await untilGone(follower, 'job-a');
});

test('a gateway that has ended between the claim of an attempt and its start has started nothing', async (t) => {
  const { batch: before, stateFolder } = await openNew(t, { atOnce: 0 });
  await before.create(jobToRun('job-a', 'complete'));
  await before.close();
  const folders = new ApplicationFolders(stateFolder);
  t.true(await folders.beginAttempt('job-a', 1, {}));
  t.false(await folders.beginAttempt('job-a', 1, {}));
  const batch = await openLocalBatch(t, { stateFolder });
  t.like(await untilJob(batch, 'job-a', hasEnded), { state: 'SUCCEEDED', attempt: 1 });
});

test('a deletion that was asked for is done by the next gateway', async (t) => {
  const { batch: before, stateFolder } = await openNew(t);
  await before.create(jobToRun('job-a', 'hang'));
  await untilJob(before, 'job-a', runs('RUNNING'));
  const program = await programOf(stateFolder, 'job-a');
  await before.close();
  await new ApplicationFolders(stateFolder).markDeleted('job-a');
  const batch = await openLocalBatch(t, { stateFolder });
  await untilGone(batch, 'job-a');
  t.false(isAlive(program));
});

test('a job whose supervisor is killed is ended, and never taken for one that is done', async (t) => {
  const { batch, stateFolder } = await openNew(t);
  await batch.create(jobToRun('job-a', 'hang'));
  await untilJob(batch, 'job-a', runs('RUNNING'));
  const program = await programOf(stateFolder, 'job-a');
  process.kill((await supervisorOf(stateFolder, 'job-a')).pid, 'SIGKILL');
  const status = await untilJob(batch, 'job-a', hasEnded);
  t.like(status, { state: 'FAILED', exitCode: undefined, reason: { code: 'DRIVER_LOST' } });
  t.false(isAlive(program));
});

test('what is left of a job goes some time after its end', async (t) => {
  const clock = new ManualClock(Date.now());
  const { batch, stateFolder } = await openNew(t, { clock });
  const look = setInterval(() => void clock.advance(500), 50);
  t.teardown(() => clearInterval(look));
  await batch.create(jobToRun('job-a', 'complete', { ttlSeconds: 60 }));
  await untilJob(batch, 'job-a', hasEnded);
  t.deepEqual(readdirSync(join(stateFolder, 'applications')), ['job-a']);
  await clock.advance(60_000);
  await untilGone(batch, 'job-a');
  t.deepEqual(readdirSync(join(stateFolder, 'applications')), []);
});

test('a job whose folder cannot be read holds up no other', async (t) => {
  const { batch, stateFolder } = await openNew(t);
  await batch.create(jobToRun('job-a', 'hang'));
  await untilJob(batch, 'job-a', runs('RUNNING'));
  const end = join(stateFolder, 'applications/job-a/attempt-1/end.json');
  // Not even root reads a folder as a file.
  await mkdir(end);
  await batch.create(jobToRun('job-b', 'complete'));
  t.like(await untilJob(batch, 'job-b', hasEnded), { state: 'SUCCEEDED' });
  await rmdir(end);
  t.like(batch.status(NAMESPACE, 'job-a'), { state: 'RUNNING' });
});

test('a program that is not there is a failure that says so', async (t) => {
  const { batch } = await openNew(t, {
    makeCommand: () => ({ file: '/no/such/program', args: [], env: {}, notes: ['a note'] }),
  });
  await batch.create(jobToRun('job-a', 'x'));
  const status = await untilJob(batch, 'job-a', hasEnded);
  t.like(status, { state: 'FAILED', exitCode: 127, reason: { code: 'DRIVER_START_FAILED' } });
  const log = (await logOf(batch, 'job-a')).map(({ text }) => text);
  t.is(log[0], 'a note');
  t.regex(log[1] ?? '', /^\/no\/such\/program could not be started: /);
});

test('Ctrl-C of all ends what runs; nothing is left of it', async (t) => {
  const { batch, stateFolder } = await openNew(t, { atOnce: 1 });
  await batch.create(jobToRun('job-a', 'hang'));
  await batch.create(jobToRun('job-b', 'complete'));
  await untilJob(batch, 'job-a', runs('RUNNING'));
  await batch.close();
  t.is(await stopLocalBatch(stateFolder, 500), 1);
  t.deepEqual(await findMarked(stateFolder), []);
  const next = await openLocalBatch(t, { stateFolder });
  t.like(next.status(NAMESPACE, 'job-a'), { state: 'FAILED', exitCode: 143 });
  t.like(await untilJob(next, 'job-b', hasEnded), { state: 'SUCCEEDED' });
});
