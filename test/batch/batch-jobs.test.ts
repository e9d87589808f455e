import test from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import { ALICE, BatchWorld, BOB, MANIFEST } from '../support/batch-world.js';
import { FakeBatchBackend } from '../support/fake-batch-backend.js';
import { settle } from '../support/manual-clock.js';

async function world(options: ConstructorParameters<typeof BatchWorld>[0] = {}) {
  const made = new BatchWorld(options);
  await settle();
  return made;
}

test('a job is durable before it is answered, and then made in its namespace', async (t) => {
  const w = await world();
  const { record, made } = await w.submit();
  t.true(made);
  t.is(w.store.record(record.job.id)?.state, 'PENDING');
  t.is(record.job.namespace, 'sjns-ads-staging');
  await settle();
  const application = w.backend.applications.get(record.job.id);
  t.is(application?.job.namespace, 'sjns-ads-staging');
  t.is(w.store.record(record.job.id)?.jobFile, undefined, 'the application has it now');
  t.true(application?.job.retries);
});

test('100 equal submissions at once make one job; another content or another owner is refused', async (t) => {
  const w = await world();
  const options = { client_request_id: 'daily-2026-11-29' };
  const answers = await Promise.all(Array.from({ length: 100 }, () => w.submit({ options })));
  t.is(new Set(answers.map(({ record }) => record.job.id)).size, 1);
  t.is(answers.filter(({ made }) => made).length, 1);
  await settle();
  t.deepEqual([...w.backend.made.values()], [1]);
  const other = MANIFEST.replace('n * 2', 'n * 3');
  await t.throwsAsync(w.submit({ options, manifest: other }), { message: /another content/ });
  const again = await w.submit({ options, manifest: `# a comment\n${MANIFEST}` });
  t.false(again.made, 'comments are no other content');
  const bob = await w.submit({ options }, BOB);
  t.true(bob.made, 'the request id is one of its user');
});

test('what a user does not own looks as what is not there', async (t) => {
  const w = await world();
  const id = await w.submitted();
  const messages = [id, 'job-aaaaaaaaaaaaaaaaaaaaaaaaaa'].map((asked) => {
    const error = t.throws(() => w.jobs.get(BOB, asked), { instanceOf: GatewayError });
    t.is(error.code, 'JOB_UNKNOWN');
    return error.message.replace(asked, '');
  });
  t.is(messages[0], messages[1]);
  await t.throwsAsync(w.jobs.cancel(BOB, id), { code: 'JOB_UNKNOWN' });
  t.deepEqual(w.jobs.list(BOB, all).jobs, []);
  const reader = { ...BOB, groups: ['readers'] };
  t.is(w.state(id, reader), 'PENDING');
  t.is(w.jobs.list(reader, all).jobs.length, 1);
  await t.throwsAsync(w.jobs.cancel(reader, id), { code: 'BATCH_REFUSED' });
  t.is(w.state(id), 'PENDING');
});

const all = { team: '', environment: '', states: [], mine: false, pageSize: 0, pageToken: '' };

test('lists are pages, the newest first, without gaps although jobs come meanwhile', async (t) => {
  const w = await world();
  const ids: string[] = [];
  for (let n = 0; n < 7; n += 1) {
    ids.unshift(await w.submitted());
    await w.clock.advance(n % 2);
  }
  const seen: string[] = [];
  let pageToken = '';
  do {
    const page = w.jobs.list(ALICE, { ...all, pageSize: 3, pageToken });
    seen.push(...page.jobs.map(({ record }) => record.job.id));
    pageToken = page.next;
    await w.submitted();
  } while (pageToken !== '');
  t.deepEqual(seen.toSorted(), ids.toSorted());
  t.throws(() => w.jobs.list(ALICE, { ...all, pageToken: 'x' }), { message: /page_token/ });
});

test('jobs at a time are limited by what the policy says, also while they are being made', async (t) => {
  const w = await world({
    limits: { jobsPerOwner: 2, jobsPerTeam: undefined, jobsPerNamespace: undefined },
  });
  const outcomes = await Promise.allSettled([w.submit(), w.submit(), w.submit()]);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  const [first] = [...w.backend.applications.keys()];
  await w.jobs.cancel(ALICE, first ?? '');
  await settle();
  await t.notThrowsAsync(w.submit());
});

test('success takes the report of the job beside exit code 0', async (t) => {
  const w = await world();
  const id = await w.submitted();
  w.backend.set(id, {
    state: 'RUNNING',
    attempt: 1,
    startedAtMs: w.clock.now(),
    uiUrl: 'http://ui',
  });
  await settle();
  t.is(w.state(id), 'RUNNING');
  t.is(w.jobs.get(ALICE, id).uiUrl, 'http://ui');
  w.reportsReadable = false;
  w.backend.set(id, { state: 'SUCCEEDED', exitCode: 0, applicationId: 'app-1' });
  await settle();
  t.not(w.state(id), 'COMPLETED');
  t.not(w.state(id), 'FAILED');
  w.reportsReadable = true;
  w.report(id, { rowCount: 42n });
  await w.clock.advance(20_000);
  const done = w.jobs.get(ALICE, id);
  t.is(done.state, 'COMPLETED');
  t.is(done.record.rowCount, 42n);
  t.is(done.uiUrl, 'https://history.example.com/history/app-1/jobs/');
});

test('exit code 0 without a report of this attempt is FAILED: the results cannot be trusted', async (t) => {
  const w = await world();
  const id = await w.submitted();
  w.report(id, { applicationId: 'app-of-an-earlier-attempt' });
  w.backend.set(id, { state: 'SUCCEEDED', attempt: 2, exitCode: 0, applicationId: 'app-2' });
  await settle();
  t.is(w.state(id), 'FAILED');
  t.is(w.jobs.get(ALICE, id).reason?.code, 'RESULT_MISSING');
});

test('a driver that was gone before its end was seen has completed, where the job says so', async (t) => {
  const w = await world();
  const [seen, unseen] = [await w.submitted(), await w.submitted()];
  w.report(seen);
  w.backend.set(seen, {
    state: 'FAILED',
    attempt: 1,
    reason: { code: 'DRIVER_LOST', message: 'driver pod not found' },
  });
  w.backend.set(unseen, {
    state: 'FAILED',
    attempt: 1,
    reason: { code: 'DRIVER_LOST', message: 'driver pod not found' },
  });
  await settle();
  t.is(w.state(seen), 'COMPLETED');
  t.regex(w.jobs.get(ALICE, seen).reason?.message ?? '', /driver pod not found/);
  t.is(w.state(unseen), 'FAILED');
});

test('what failed is told as the job tells it, with its place in the manifest', async (t) => {
  const w = await world();
  const id = await w.submitted();
  const reason = {
    code: 'SQL_INVALID',
    message: 'no column m',
    step: 'doubled',
    line: 12,
    column: 21,
  };
  w.backend.set(id, {
    state: 'FAILED',
    attempt: 1,
    exitCode: 11,
    report: { jobId: id, applicationId: 'app-1', state: 'FAILED', exitCode: 11, reason },
  });
  await settle();
  t.is(w.state(id), 'FAILED');
  t.deepEqual(w.jobs.get(ALICE, id).reason, reason);
});

test('a cluster that cannot be seen makes a job UNKNOWN, never FAILED, and deadlines wait', async (t) => {
  const w = await world();
  const id = await w.submitted({ options: { ttl_seconds: '60' } });
  w.backend.set(id, { state: 'RUNNING', attempt: 1 });
  await settle();
  w.backend.see(true);
  await w.clock.advance(3_600_000);
  t.is(w.state(id), 'UNKNOWN');
  t.is(w.store.record(id)?.state, 'RUNNING');
  w.report(id);
  w.backend.set(id, { state: 'SUCCEEDED', exitCode: 0 });
  w.backend.see(false);
  await w.clock.advance(20_000);
  t.is(w.state(id), 'COMPLETED');
});

test('cancelling is durable, may be repeated, and ends when nothing is left, whatever pods come late', async (t) => {
  const w = await world();
  const id = await w.submitted();
  w.backend.set(id, { state: 'RUNNING', attempt: 1 });
  w.backend.outcomes.push('unanswered', 'lost');
  const view = await w.jobs.cancel(ALICE, id);
  t.is(view.record.end?.by, 'user');
  t.is(w.store.record(id)?.end?.by, 'user');
  await w.jobs.cancel(ALICE, id);
  await w.clock.advance(10_000);
  t.is(w.state(id), 'CANCELLED');
  t.is(w.backend.applications.size, 0);
  // The operator was in the middle of submitting it.
  w.backend.leavePod('sjns-ads-staging', id);
  await w.clock.advance(2_000);
  t.is(w.backend.pods.size, 0, 'it is swept');
  t.is(w.state(id), 'CANCELLED');
});

test('a job that is cancelled before anything was made is made never', async (t) => {
  const w = await world();
  w.backend.outcomes.push('lost');
  const { record } = await w.submit();
  const { id } = record.job;
  await settle();
  await w.jobs.cancel(ALICE, id);
  await w.clock.advance(60_000);
  t.is(w.state(id), 'CANCELLED');
  t.is(w.backend.made.get(id), undefined);
});

test('what ended and is cancelled then stays as it ended', async (t) => {
  const w = await world();
  const id = await w.submitted();
  w.report(id);
  w.backend.set(id, { state: 'SUCCEEDED', attempt: 1, exitCode: 0 });
  await settle();
  const view = await w.jobs.cancel(ALICE, id);
  t.is(view.state, 'COMPLETED');
});

test('a job is ended at its deadline, and when it has been pending too long, with the reason', async (t) => {
  const w = await world({ pendingLimitMs: 600_000 });
  const slow = await w.submitted({ options: { ttl_seconds: '1200' } });
  const stuck = await w.submitted();
  w.backend.set(slow, { state: 'RUNNING', attempt: 1 });
  w.backend.set(stuck, {
    state: 'PENDING',
    reason: { code: 'IMAGE_PULL_FAILED', message: 'image example/spark:9 cannot be pulled' },
  });
  await w.clock.advance(590_000);
  t.is(w.state(stuck), 'PENDING');
  t.is(w.jobs.get(ALICE, stuck).reason?.code, 'IMAGE_PULL_FAILED');
  await w.clock.advance(20_000);
  t.is(w.state(stuck), 'FAILED');
  t.is(w.jobs.get(ALICE, stuck).reason?.code, 'IMAGE_PULL_FAILED');
  t.regex(w.jobs.get(ALICE, stuck).reason?.message ?? '', /600 s: image example\/spark:9/);
  await w.clock.advance(600_000);
  t.is(w.state(slow), 'FAILED');
  t.is(w.jobs.get(ALICE, slow).reason?.code, 'DEADLINE_EXCEEDED');
  t.is(w.backend.applications.size, 0);
});

test('one that waits for another attempt is pending anew, and runs into the limit, too', async (t) => {
  const w = await world({ pendingLimitMs: 600_000 });
  const id = await w.submitted();
  w.backend.set(id, { state: 'RUNNING', attempt: 1 });
  await w.clock.advance(900_000);
  w.backend.set(id, { state: 'PENDING', attempt: 2 });
  await w.clock.advance(500_000);
  t.is(w.state(id), 'PENDING');
  await w.clock.advance(200_000);
  t.is(w.state(id), 'FAILED');
  t.is(w.jobs.get(ALICE, id).reason?.code, 'PENDING_TOO_LONG');
});

test('a cluster that refuses a job for good leaves it to the next one; if all do, it has failed', async (t) => {
  const [near, far] = [new FakeBatchBackend('near'), new FakeBatchBackend('far')];
  const w = await world({ backends: [near, far] });
  near.outcomes.push('refused');
  const id = await w.submitted();
  await w.clock.advance(5_000);
  t.is(near.applications.size, 0);
  t.true(far.applications.has(id));
  near.outcomes.push('refused');
  far.outcomes.push('refused');
  const other = await w.submitted();
  await w.clock.advance(5_000);
  t.is(w.state(other), 'FAILED');
  t.deepEqual(w.jobs.get(ALICE, other).reason, {
    code: 'SUBMISSION_REFUSED',
    message: 'admission refuses it',
  });
});

test('a cluster that may have made it is not left for another', async (t) => {
  const [near, far] = [new FakeBatchBackend('near'), new FakeBatchBackend('far')];
  const w = await world({ backends: [near, far] });
  near.outcomes.push('unanswered', 'lost', 'unanswered');
  const id = await w.submitted();
  await w.clock.advance(60_000);
  t.is(near.made.get(id), 1);
  t.is(far.made.size, 0);
  t.is(w.jobs.get(ALICE, id).record.cluster, 'near');
});

test('a new job goes to the nearest cluster that can be reached', async (t) => {
  const [near, far] = [new FakeBatchBackend('near'), new FakeBatchBackend('far')];
  const w = await world({ backends: [near, far] });
  near.reachable = false;
  const id = await w.submitted();
  t.true(far.applications.has(id));
});

test('one job that cannot be made holds up no other', async (t) => {
  const w = await world();
  w.backend.outcomes.push('lost', 'lost', 'lost');
  const first = await w.submitted();
  const second = await w.submitted();
  await w.clock.advance(60_000);
  t.true(w.backend.applications.has(first));
  t.true(w.backend.applications.has(second));
});

test('a record that cannot be read is shown, its id is not taken for free, and others go on', async (t) => {
  const w = await world();
  const id = await w.submitted();
  w.store.broken.push({ id: 'job-bbbbbbbbbbbbbbbbbbbbbbbbbb', problem: 'status.state is none' });
  await w.crash();
  t.is(w.state(id), 'PENDING');
  t.deepEqual(
    [...w.term.problems()].map(({ kind }) => kind),
    ['job_unreadable'],
  );
  const error = t.throws(() => w.jobs.get(ALICE, 'job-bbbbbbbbbbbbbbbbbbbbbbbbbb'), {
    instanceOf: GatewayError,
  });
  t.is(error.code, 'CONTROL_PLANE_UNAVAILABLE');
});

test('jobs are forgotten when their retention ends, not before, and their applications before that', async (t) => {
  const w = await world({ retentionMs: 86_400_000 });
  const id = await w.submitted({ options: { ttl_seconds: '600' } });
  w.report(id);
  w.backend.set(id, { state: 'SUCCEEDED', attempt: 1, exitCode: 0 });
  await w.clock.advance(600_000 + 50_000);
  t.is(w.backend.applications.size, 1);
  await w.clock.advance(20_000);
  t.is(w.backend.applications.size, 0, 'the operator has not deleted it: we do');
  await w.clock.advance(85_000_000);
  t.is(w.state(id), 'COMPLETED');
  await w.clock.advance(2_000_000);
  t.throws(() => w.jobs.get(ALICE, id), { code: 'JOB_UNKNOWN' });
  t.is(w.store.stored.size, 0);
});

test('the results of a job go with its record, before it', async (t) => {
  const deleted: string[] = [];
  const w = await world({
    retentionMs: 3_600_000,
    deleteOutput: (outputPath) => {
      const there = [...w.store.stored.keys()].filter((id) => outputPath.endsWith(`/${id}`));
      deleted.push(`${outputPath}: ${there.length}`);
      return outputPath.endsWith(stuck) ? Promise.reject(new Error('EACCES')) : Promise.resolve();
    },
  });
  const [id, stuck] = [await w.submitted(), await w.submitted()];
  for (const each of [id, stuck]) {
    w.report(each);
    w.backend.set(each, { state: 'SUCCEEDED', attempt: 1, exitCode: 0 });
  }
  const running = await w.submitted({ options: { ttl_seconds: '86400' } });
  w.backend.set(running, { state: 'RUNNING', attempt: 1 });
  await w.clock.advance(3_590_000);
  t.deepEqual(deleted, []);
  await w.clock.advance(20_000);
  t.deepEqual(
    deleted.toSorted(),
    [id, stuck].map((each) => `s3://results/jobs/sjns-ads-staging/${each}: 1`).toSorted(),
  );
  t.deepEqual([...w.store.stored.keys()], [running], 'what cannot be deleted keeps no record');
});

test('beyond the largest number of records those that ended first are forgotten', async (t) => {
  const w = await world({ mostRecords: 3 });
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    const id = await w.submitted();
    ids.push(id);
    if (n < 3) {
      w.report(id);
      w.backend.set(id, { state: 'SUCCEEDED', attempt: 1, exitCode: 0 });
      await w.clock.advance(1_000);
    }
  }
  await w.clock.advance(60_000);
  t.is(w.store.stored.size, 3);
  t.deepEqual(
    w.jobs
      .list(ALICE, all)
      .jobs.map(({ record }) => record.job.id)
      .toSorted(),
    ids.slice(2).toSorted(),
  );
});

test('who asked, and which service said so, is written down', async (t) => {
  const w = await world();
  const id = await w.submitted();
  await t.throwsAsync(
    w.submit({ manifest: MANIFEST.replaceAll('ads', 'forbidden'), team: 'forbidden' }),
  );
  await w.jobs.cancel(ALICE, id);
  t.deepEqual(
    w.audit.map(({ action, outcome, principal, code, detail }) => [
      action,
      outcome,
      principal?.subject,
      code,
      detail?.['user'],
    ]),
    [
      ['job.submit', 'done', 'airflow', undefined, 'alice'],
      ['job.submit', 'refused', 'airflow', 'BATCH_REFUSED', 'alice'],
      ['job.cancel', 'done', 'airflow', undefined, 'alice'],
    ],
  );
});

test('what cannot be made, or does not end, is told after a while, and no more when it is done', async (t) => {
  const w = await world();
  const kinds = () => [...w.term.problems()].map(({ kind }) => kind);
  w.backend.outcomes.push(...Array.from({ length: 200 }, () => 'lost' as const));
  const id = await w.submitted();
  await w.clock.advance(60_000);
  t.deepEqual(kinds(), []);
  await w.clock.advance(90_000);
  t.deepEqual(kinds(), ['job_not_submitted']);
  await w.jobs.cancel(ALICE, id);
  await w.clock.advance(301_000);
  t.deepEqual(kinds(), ['job_not_ending']);
  w.backend.outcomes.length = 0;
  await w.clock.advance(30_000);
  t.is(w.state(id), 'CANCELLED');
  t.deepEqual(kinds(), []);
});
