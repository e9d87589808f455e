import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { JobService } from '#gen/spark_gateway/v1/jobs_pb.js';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import test, { type ExecutionContext } from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import { jobStates } from '../../src/model/job.js';
import { LEFT_OUT, LOG_LINES } from '../../src/runner/logs.js';
import { TestAuthority } from '../support/certificates.js';
import { unavailable } from '../support/fake-batch-service.js';
import { RunnerWorld, type WorldOptions } from './world.js';

// Services.

const { submit, check, cancel } = SparkRunnerService.method;
const { describeJob, listJobs } = JobService.method;

const alice = { user: 'alice@example.com' };
const submission = {
  manifest: 'kind: SparkJob',
  team: 'data',
  environment: 'dev',
  user: 'alice@example.com',
  jobName: 'daily',
};

async function start(t: ExecutionContext, options?: WorldOptions) {
  const world = await RunnerWorld.start(t, options);
  return { world, gateway: world.gateway, client: world.client(t) };
}

function outputFolder(t: ExecutionContext, files: Readonly<Record<string, unknown>>) {
  const root = mkdtempSync(join(tmpdir(), 'runner-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'job');
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(
      join(folder, name),
      typeof content === 'string' ? content : JSON.stringify(content),
    );
  }
  return { root, outputPath: pathToFileURL(folder).href };
}

test('a submission arrives as it was written, for the user that it names', async (t) => {
  const { gateway, client } = await start(t);
  const options = { sandbox_mode: 'true', client_request_id: 'r-1' };
  const { jobId, namespace } = await client.call(submit, { ...submission, options });
  t.regex(jobId, /^job-/);
  t.is(namespace, 'sjns-data-dev');
  t.like(gateway.created[0], {
    manifest: submission.manifest,
    team: 'data',
    environment: 'dev',
    jobName: 'daily',
    options,
  });
  t.is(gateway.created[0]?.caller?.user, 'alice@example.com');
});

test('a submission that was there already says so ahead of the answer', async (t) => {
  const { client } = await start(t);
  const options = { client_request_id: 'r-1' };
  const told: string[] = [];
  const onMetadata = (metadata: { get(name: string): unknown[] }) =>
    told.push(String(metadata.get('x-spark-duplicate')));
  const first = await client.call(submit, { ...submission, options }, { onMetadata });
  const second = await client.call(submit, { ...submission, options }, { onMetadata });
  t.is(first.jobId, second.jobId);
  t.deepEqual(told, ['', 'true']);
});

test('the same id with another manifest is refused as ALREADY_EXISTS', async (t) => {
  const { client } = await start(t);
  const options = { client_request_id: 'r-1' };
  await client.call(submit, { ...submission, options });
  await t.throwsAsync(client.call(submit, { ...submission, options, manifest: 'other' }), {
    code: 'JOB_EXISTS',
  });
});

test('a submission whose answer was lost is asked again, and is one job', async (t) => {
  const { gateway, client } = await start(t);
  gateway.fates = ['answer lost', unavailable(), 'answer lost'];
  await client.call(submit, submission);
  t.is(gateway.jobs.size, 1);
  const ids = new Set(gateway.created.map(({ options }) => options['client_request_id']));
  t.is(ids.size, 1);
  t.true([...ids].every((id) => id !== undefined && id.length >= 16));
});

test('100 equal submissions at once are one job', async (t) => {
  const { gateway, client } = await start(t);
  const options = { client_request_id: 'r-1' };
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => client.call(submit, { ...submission, options })),
  );
  t.is(new Set(answers.map(({ jobId }) => jobId)).size, 1);
  t.is(gateway.jobs.size, 1);
});

test('a manifest with mistakes is refused before anybody is asked, each with its place', async (t) => {
  const problems = [{ line: 3, column: 5, path: 'spec.engine', message: 'is missing' }];
  const { gateway, client } = await start(t, {
    validate: () => {
      throw new GatewayError('MANIFEST_INVALID', 'The manifest has a mistake.', { problems });
    },
  });
  const error = await t.throwsAsync<GatewayError>(client.call(submit, submission));
  t.is(error?.code, 'MANIFEST_INVALID');
  t.deepEqual(error?.problems, problems);
  t.is(gateway.created.length, 0);
});

test('a refusal of the control plane reaches the caller with its code and its time to come back', async (t) => {
  const { gateway, client } = await start(t);
  gateway.fates = [
    new GatewayError('JOB_LIMIT_EXCEEDED', 'Team data has 5 jobs; wait.', { retryAfterMs: 5_000 }),
  ];
  const error = await t.throwsAsync<GatewayError>(client.call(submit, submission));
  t.is(error?.code, 'JOB_LIMIT_EXCEEDED');
  t.is(error?.retryAfterMs, 5_000);
});

test('a user in the message who is not that of the header is refused', async (t) => {
  const { gateway, client } = await start(t);
  await t.throwsAsync(client.call(submit, submission, { user: 'bob@example.com' }), {
    code: 'ARGUMENT_INVALID',
  });
  t.is(gateway.created.length, 0);
});

for (const state of jobStates) {
  test(`a job that is ${state} is told so, and can be cancelled as that allows`, async (t) => {
    const { gateway, client } = await start(t);
    gateway.add('job-1', { state, sparkUiUrl: 'http://ui', outputPath: 's3://b/job-1' });
    const found = await client.call(check, { jobId: 'job-1' }, alice);
    t.like(found, { jobId: 'job-1', state, sparkUiUrl: 'http://ui', outputPath: 's3://b/job-1' });
    const { success } = await client.call(cancel, { jobId: 'job-1' }, alice);
    t.is(success, state !== 'COMPLETED' && state !== 'FAILED');
    const again = await client.call(cancel, { jobId: 'job-1' }, alice);
    t.is(again.success, success);
  });
}

test('a state of a newer control plane is UNKNOWN, never an end', async (t) => {
  const { gateway, client } = await start(t);
  gateway.add('job-1', { state: 'HIBERNATING' });
  t.is((await client.call(check, { jobId: 'job-1' }, alice)).state, 'UNKNOWN');
});

test('why a job failed is told with its step and line; a job that goes on has no error', async (t) => {
  const { gateway, client } = await start(t);
  const why = { reasonCode: 'SQL_INVALID', reason: 'no such column', step: 'daily', line: 12 };
  gateway.add('job-1', { state: 'FAILED', ...why });
  gateway.add('job-2', { state: 'PENDING', reasonCode: 'UNSCHEDULABLE', reason: 'no node fits' });
  const failed = await client.call(check, { jobId: 'job-1' }, alice);
  t.is(failed.error, 'SQL_INVALID: no such column (step "daily", line 12)');
  t.is((await client.call(check, { jobId: 'job-2' }, alice)).error, '');
  const described = await client.call(describeJob, { jobId: 'job-2' }, alice);
  t.like(described.job, { reasonCode: 'UNSCHEDULABLE', reason: 'no node fits' });
});

test('a job of somebody else, and one that nobody knows, are NOT_FOUND whatever is asked', async (t) => {
  const { gateway, client } = await start(t);
  gateway.add('job-1', { user: 'bob@example.com' });
  for (const jobId of ['job-1', 'job-2']) {
    const request = { jobId, includeLogs: true, includeResults: true };
    await t.throwsAsync(client.call(check, request, alice), { code: 'JOB_UNKNOWN' });
    await t.throwsAsync(client.call(cancel, { jobId }, alice), { code: 'JOB_UNKNOWN' });
    await t.throwsAsync(client.call(describeJob, { jobId }, alice), { code: 'JOB_UNKNOWN' });
  }
  await t.throwsAsync(client.call(check, { jobId: '' }, alice), { code: 'ARGUMENT_INVALID' });
});

test('a job that has not started has an empty log, and no results, without an error', async (t) => {
  const { gateway, client } = await start(t);
  gateway.add('job-1', { outputPath: 'file:///nowhere' });
  const request = { jobId: 'job-1', includeLogs: true, includeResults: true };
  t.like(await client.call(check, request, alice), {
    state: 'PENDING',
    logs: '',
    error: '',
    resultPreview: '',
    resultSchema: '',
  });
});

test('of a long log the last lines are told, and the first says that earlier ones are left out', async (t) => {
  const { gateway, client } = await start(t);
  gateway.add('job-1', { state: 'RUNNING' });
  gateway.log('job-1', ...Array.from({ length: LOG_LINES + 5 }, (_, at) => `line ${at}`));
  const { logs } = await client.call(check, { jobId: 'job-1', includeLogs: true }, alice);
  const lines = logs.split('\n');
  t.is(lines.length, LOG_LINES + 1);
  t.is(lines[0], LEFT_OUT);
  t.is(lines.at(-1), `line ${LOG_LINES + 4}`);
  const described = await client.call(describeJob, { jobId: 'job-1', logLines: 3 }, alice);
  t.is(described.logLines.length, 3);
  t.true(described.logTruncated);
});

test('lines of megabytes are cut, and their sum stays within what a client takes', async (t) => {
  const { gateway, client } = await start(t);
  gateway.add('job-1', { state: 'RUNNING' });
  gateway.log('job-1', ...Array.from({ length: 8 }, () => 'x'.repeat(1024 * 1024)), 'the end');
  const { logs } = await client.call(check, { jobId: 'job-1', includeLogs: true }, alice);
  t.true(logs.length < 600 * 1024);
  t.regex(logs, /\[cut\]\nthe end$/);
});

test('results are the rows, the schema and the count that the job has left', async (t) => {
  const preview = { columns: ['id', 'name'], rows: [['9007199254740993', null]], truncated: false };
  const schema = { type: 'struct', fields: [] };
  const { root, outputPath } = outputFolder(t, {
    '_preview.json': preview,
    '_schema.json': schema,
    '_status.json': { format: 1, job_id: 'job-1', row_count: '9007199254740993' },
  });
  const { gateway, client } = await start(t, { folders: [root] });
  gateway.add('job-1', { state: 'COMPLETED', outputPath });
  const found = await client.call(check, { jobId: 'job-1', includeResults: true }, alice);
  t.deepEqual(JSON.parse(found.resultPreview), preview);
  t.deepEqual(JSON.parse(found.resultSchema), schema);
  t.is(found.resultCount, 9007199254740993n);
  t.is(found.error, '');
});

test('a count of another job in the same place is not believed', async (t) => {
  const { root, outputPath } = outputFolder(t, {
    '_status.json': { format: 1, job_id: 'job-0', row_count: '5' },
  });
  const { gateway, client } = await start(t, { folders: [root] });
  gateway.add('job-1', { state: 'COMPLETED', outputPath });
  const found = await client.call(check, { jobId: 'job-1', includeResults: true }, alice);
  t.is(found.resultCount, -1n);
  t.is(found.error, '');
});

for (const [what, content] of Object.entries({
  'is no JSON': '{"columns": [',
  'has another form': { rows: 'many' },
  'is larger than any that we write': { columns: [], rows: [['x'.repeat(600 * 1024)]] },
})) {
  test(`with a preview that ${what} the state is told all the same, and what is wrong`, async (t) => {
    const { root, outputPath } = outputFolder(t, { '_preview.json': content });
    const { gateway, client } = await start(t, { folders: [root] });
    gateway.add('job-1', { state: 'COMPLETED', outputPath, resultCount: 7n });
    const found = await client.call(check, { jobId: 'job-1', includeResults: true }, alice);
    t.like(found, { state: 'COMPLETED', resultPreview: '', resultCount: 7n });
    t.regex(found.error, /^RESULTS_UNREADABLE: .*_preview\.json|RESULTS_UNREADABLE: .*job/);
  });
}

test('an output path that leads elsewhere shows nothing', async (t) => {
  const { outputPath } = outputFolder(t, { '_preview.json': { columns: [], rows: [] } });
  const { gateway, client } = await start(t, { folders: ['/nonexistent'] });
  gateway.add('job-1', { state: 'COMPLETED', outputPath });
  const found = await client.call(check, { jobId: 'job-1', includeResults: true }, alice);
  t.like(found, { state: 'COMPLETED', resultPreview: '' });
  t.regex(found.error, /RESULTS_UNREADABLE/);
});

test('jobs are listed as they are asked for', async (t) => {
  const { gateway, client } = await start(t);
  for (const at of [1, 2, 3]) gateway.add(`job-${at}`, { state: at === 2 ? 'FAILED' : 'RUNNING' });
  gateway.add('job-4', { user: 'bob@example.com' });
  const wanted = { mine: true, states: ['RUNNING'], pageSize: 1 };
  const first = await client.call(listJobs, wanted, { ...alice, groups: ['data', 'ops'] });
  t.deepEqual(
    first.jobs.map(({ jobId }) => jobId),
    ['job-3'],
  );
  const { nextPageToken: pageToken } = first;
  const second = await client.call(listJobs, { ...wanted, pageToken }, alice);
  t.deepEqual(
    second.jobs.map(({ jobId }) => jobId),
    ['job-1'],
  );
  t.is(second.nextPageToken, '');
  t.deepEqual(gateway.listed[0]?.caller?.groups, ['data', 'ops']);
});

test('each call is counted with its outcome', async (t) => {
  const { world, client } = await start(t);
  await client.call(submit, submission);
  await t.throwsAsync(client.call(check, { jobId: 'none' }, alice));
  t.deepEqual(
    world.ends.map(({ method, code }) => [method, code]),
    [
      ['Submit', 'OK'],
      ['Check', 'JOB_UNKNOWN'],
    ],
  );
});

// Callers.

const airflow = 'spiffe://example.com/airflow';

async function startWithNames(t: ExecutionContext, allowedSans: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'runner-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const tls = authority.writeFiles(folder, 'runner', {
    commonName: 'runner',
    dnsNames: ['runner'],
  });
  const world = await RunnerWorld.start(t, { tls, allowedSans });
  world.gateway.add('job-1', { user: 'alice@example.com' });
  const caller = (name: string, uris: readonly string[], by = authority) =>
    world.client(
      t,
      by.writeFiles(folder, name, { commonName: name, uris, dnsNames: [`${name}.example.com`] }),
    );
  return { world, folder, caller };
}

test('a caller is known by its certificate, and whom it acts for by its headers', async (t) => {
  const { world, caller } = await startWithNames(t, [airflow]);
  await caller('airflow', [airflow]).call(
    check,
    { jobId: 'job-1' },
    { user: 'alice@example.com', groups: ['data'] },
  );
  t.like(world.gateway.asked[0]?.caller, {
    uriSans: [airflow],
    dnsSans: ['airflow.example.com'],
    subject: 'CN=airflow',
    user: 'alice@example.com',
    groups: ['data'],
  });
});

test('a certificate with none of the names that may call is refused before anything is asked', async (t) => {
  const { world, caller } = await startWithNames(t, [airflow]);
  await t.throwsAsync(
    caller('stranger', ['spiffe://example.com/stranger']).call(check, { jobId: 'job-1' }),
    { code: 'CALLER_UNKNOWN', message: /runner\.allowed_sans/ },
  );
  t.is(world.gateway.asked.length, 0);
});

test('a certificate of another authority, or none, does not get so far', async (t) => {
  const { world, caller } = await startWithNames(t, []);
  const other = caller('airflow', [airflow], new TestAuthority('another'));
  await t.throwsAsync(other.call(check, { jobId: 'job-1' }, { timeoutMs: 2_000 }));
  await t.throwsAsync(world.client(t).call(check, { jobId: 'job-1' }, { timeoutMs: 2_000 }));
  t.is(world.gateway.asked.length, 0);
});

test('a service that names nobody acts for itself', async (t) => {
  const { world, caller } = await startWithNames(t, [airflow]);
  world.gateway.add('job-2', { user: '' });
  await caller('airflow', [airflow]).call(check, { jobId: 'job-2' });
  t.is(world.gateway.asked[0]?.caller?.user, '');
});

test('more than 500 groups are refused', async (t) => {
  const world = await RunnerWorld.start(t);
  const groups = [Array.from({ length: 501 }, (_, at) => `g${at}`).join(', ')];
  await t.throwsAsync(world.client(t).call(check, { jobId: 'job-1' }, { user: 'a', groups }), {
    code: 'ARGUMENT_INVALID',
  });
});

test('names with commas and letters of any language arrive percent-encoded', async (t) => {
  const world = await RunnerWorld.start(t);
  const user = 'zoë, the "100%"';
  const groups = ['cn=data,ou=groups', 'ünicode'];
  world.gateway.add('job-1', { user });
  await world
    .client(t)
    .call(
      check,
      { jobId: 'job-1' },
      { user: encodeURIComponent(user), groups: groups.map(encodeURIComponent) },
    );
  t.like(world.gateway.asked[0]?.caller, { user, groups });
});

test('a header that names two users, or cannot be read, is refused', async (t) => {
  const world = await RunnerWorld.start(t);
  const client = world.client(t);
  await t.throwsAsync(client.call(check, { jobId: 'job-1' }, { user: 'alice,bob' }), {
    code: 'HEADER_DUPLICATED',
  });
  await t.throwsAsync(client.call(check, { jobId: 'job-1' }, { user: '100%' }), {
    code: 'ARGUMENT_INVALID',
  });
});
