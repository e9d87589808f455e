import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import anyTest, { type ExecutionContext } from 'ava';
import { parseManifest } from '../../src/manifest/parse.js';
import { GatewayError } from '../../src/model/errors.js';
import { jobStates } from '../../src/model/job.js';
import type {
  JobListView,
  JobStatusView,
  ProblemView,
  ResultsView,
  SampleView,
  SubmittedView,
} from '../../src/model/playground-api.js';
import { endpoints } from '../../src/playground/endpoints.js';
import { schemas } from '../../src/playground/schemas.js';
import { unavailable } from '../support/fake-batch-service.js';
import { WatchedClock } from '../support/watched-clock.js';
import { API, manifest, PlaygroundWorld } from './world.js';

/** One world at a time: each has an issuer, a Runner and a control plane. */
const test = anyTest.serial;

const body = { manifest, environment: 'dev' };

/** Each answer is compared with the schema that openapi.json says it has. */
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ $id: 'api', components: { schemas } });

async function answerOf<T>(
  t: ExecutionContext,
  response: Response,
  schema: keyof typeof schemas,
  status = 200,
): Promise<T> {
  const value: unknown = await response.json();
  t.is(response.status, status, JSON.stringify(value));
  const fits = ajv.validate({ $ref: `api#/components/schemas/${schema}` }, value);
  t.true(fits, `${JSON.stringify(value)}: ${ajv.errorsText()}`);
  return value as T;
}

async function problemOf(t: ExecutionContext, response: Response): Promise<ProblemView> {
  t.is(response.headers.get('content-type'), 'application/problem+json');
  return answerOf<ProblemView>(t, response, 'Problem', response.status);
}

/** Moves time on whenever something waits, until there is an answer. */
async function hastened<T>(clock: WatchedClock, answer: Promise<T>): Promise<T> {
  const answered = answer.then(() => true);
  for (;;) {
    const waits = clock.timers.next().then(() => false);
    if (await Promise.race([answered, waits])) return answer;
    await clock.advance(10_000);
  }
}

test('a submission becomes a job of whom the token names, in the team of its manifest', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const response = await world.post('/submit', body, {
    'x-doordash-user': 'mallory@example.com',
    'x-doordash-group': 'admins',
  });
  const { job_id: jobId } = await answerOf<SubmittedView>(t, response, 'Submitted');
  t.true(world.gateway.jobs.has(jobId));
  const [created] = world.gateway.created;
  t.like(created, { team: 'data', environment: 'dev', jobName: 'totals', manifest });
  t.is(created?.caller?.user, 'alice@example.com');
  t.deepEqual(created?.caller?.groups, ['everyone', 'data-engineers']);
  t.is(created?.options['sandbox_mode'], undefined);
});

test('run turns the sandbox on, unless the options say otherwise', async (t) => {
  const world = await PlaygroundWorld.start(t);
  await world.post('/run', body);
  await world.post('/run', { ...body, options: { sandbox_mode: 'false' } });
  t.deepEqual(
    world.gateway.created.map(({ options }) => options['sandbox_mode']),
    ['true', 'false'],
  );
});

test('the same Idempotency-Key is the same job, and says that it was there', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const key = { 'idempotency-key': '"8e03978e-40d5-43dd-bc93-6894a57f9324"' };
  const first = await (await world.post('/submit', body, key)).json();
  const second = await (await world.post('/submit', body, key)).json();
  t.deepEqual(second, { ...(first as SubmittedView), duplicate: true });
  t.is(world.gateway.created[0]?.options['client_request_id'], key['idempotency-key'].slice(1, -1));
  const other = { ...body, manifest: manifest.replace('totals', 'others') };
  const refused = await world.post('/submit', other, key);
  t.is(refused.status, 409);
  t.is((await problemOf(t, refused)).code, 'JOB_EXISTS');
});

test('100 equal submissions at once are one job', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const answers = await Promise.all(
    Array.from({ length: 100 }, async () =>
      (await world.post('/submit', body, { 'idempotency-key': 'one' })).json(),
    ),
  );
  t.is(new Set(answers.map((answer) => (answer as SubmittedView).job_id)).size, 1);
  t.is(world.gateway.jobs.size, 1);
});

test('a submission whose answers get lost on the way is one job', async (t) => {
  const world = await PlaygroundWorld.start(t);
  world.gateway.fates = ['answer lost', unavailable()];
  t.is((await world.post('/submit', body)).status, 200);
  t.is(world.gateway.jobs.size, 1);
});

for (const [what, key] of Object.entries({
  'that is too long': 'k'.repeat(129),
  'that is empty': '',
  'with a space': 'a b',
})) {
  test(`an Idempotency-Key ${what} is refused`, async (t) => {
    const world = await PlaygroundWorld.start(t);
    const refused = await world.post('/submit', body, { 'idempotency-key': key });
    t.is((await problemOf(t, refused)).code, 'ARGUMENT_INVALID');
    t.is(world.gateway.created.length, 0);
  });
}

test('a key in the header and another in the options are refused', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const options = { client_request_id: 'a' };
  const refused = await world.post('/submit', { ...body, options }, { 'idempotency-key': 'b' });
  t.regex((await problemOf(t, refused)).detail, /Idempotency-Key and the option/);
});

test("a manifest's mistakes are told with their places, and nobody is asked", async (t) => {
  const world = await PlaygroundWorld.start(t);
  const wrong = manifest.replace('"4.1"', '"9.9"').replace('SELECT 1', '');
  const refused = await world.post('/submit', { ...body, manifest: wrong });
  t.is(refused.status, 400);
  const { code, errors = [] } = await problemOf(t, refused);
  t.is(code, 'MANIFEST_INVALID');
  t.true(errors.some(({ line, path }) => line === 8 && path === 'spec.engine.version'));
  t.is(world.gateway.created.length, 0);
  const validated = await answerOf<{ problems: unknown[] }>(
    t,
    await world.post('/validate', { manifest: wrong }),
    'Validated',
  );
  t.is(validated.problems.length, errors.length);
});

test('options that are not known are refused with the nearest name', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const refused = await world.post('/submit', { ...body, options: { sandbox_mod: 'true' } });
  const { code, detail } = await problemOf(t, refused);
  t.is(code, 'OPTION_INVALID');
  t.regex(detail, /did you mean "sandbox_mode"/);
});

for (const [what, wrong, said] of [
  ['no JSON', '{"manifest": ', /not JSON/],
  ['a list', '[]', /must be object/],
  ['without a manifest', JSON.stringify({ environment: 'dev' }), /manifest/],
  ['with a user', JSON.stringify({ ...body, user: 'bob' }), /"user", which is not known/],
  [
    'with a number as option',
    JSON.stringify({ ...body, options: { ttl_seconds: 60 } }),
    /options.ttl_seconds must be string/,
  ],
] as const) {
  test(`a body that is ${what} is refused, saying why`, async (t) => {
    const world = await PlaygroundWorld.start(t);
    const refused = await world.post('/submit', wrong);
    t.is(refused.status, 400);
    const { code, detail } = await problemOf(t, refused);
    t.is(code, 'ARGUMENT_INVALID');
    t.regex(detail, said);
  });
}

test('a body beyond what a manifest may have is refused before it is read', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const refused = await world.post('/submit', { ...body, manifest: 'x'.repeat(5 * 1024 * 1024) });
  t.is(refused.status, 413);
});

test('a manifest of 1 MB goes through', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const comment = `# ${'ä "quoted" '.repeat(40)}\n`;
  const large =
    manifest +
    comment.repeat(Math.floor((1_000_000 - manifest.length) / Buffer.byteLength(comment)));
  t.true(Buffer.byteLength(large) > 990_000);
  t.is((await world.post('/submit', { ...body, manifest: large })).status, 200);
  t.is(world.gateway.created[0]?.manifest, large);
});

for (const state of jobStates) {
  test(`a job that is ${state}: status, cancel and results say what fits`, async (t) => {
    const world = await PlaygroundWorld.start(t);
    world.gateway.add('job-1', {
      state,
      reasonCode: 'SOME_REASON',
      reason: 'so it is',
      line: 3,
      outputPath: 's3a://x/y',
    });
    const status = await answerOf<JobStatusView>(t, await world.ask('/status/job-1'), 'JobStatus');
    t.is(status.state, state);
    t.deepEqual(status.reason, { code: 'SOME_REASON', message: 'so it is', line: 3, column: 1 });
    t.is(status.error !== null, state === 'FAILED' || state === 'CANCELLED' || state === 'UNKNOWN');
    const results = await world.ask('/results/job-1');
    if (state === 'PENDING' || state === 'RUNNING' || state === 'UNKNOWN') {
      t.is(results.status, 400);
      t.is((await problemOf(t, results)).code, 'JOB_NOT_ENDED');
    } else if (state === 'COMPLETED') {
      t.is((await problemOf(t, results)).code, 'RESULTS_UNREADABLE');
    } else {
      t.like(await answerOf<ResultsView>(t, results, 'Results'), { preview: null, count: null });
    }
    const cancelled = await answerOf<{ success: boolean }>(
      t,
      await world.post('/cancel/job-1', {}),
      'Cancelled',
    );
    t.is(cancelled.success, state !== 'COMPLETED' && state !== 'FAILED');
  });
}

test('a job that nobody has started yet is PENDING with an empty log and the reason', async (t) => {
  const world = await PlaygroundWorld.start(t);
  world.gateway.add('job-1', { reasonCode: 'UNSCHEDULABLE', reason: 'no node fits' });
  const status = await answerOf<JobStatusView>(t, await world.ask('/status/job-1'), 'JobStatus');
  t.like(status, { state: 'PENDING', logs: '', logs_truncated: false, error: null });
  t.like(await (await world.ask('/logs/job-1?tail=5')).json(), {
    state: 'PENDING',
    lines: [],
    truncated: false,
  });
});

test('history and times are told', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const at = BigInt(Date.parse('2026-11-29T10:00:00Z'));
  world.gateway.add('job-1', {
    state: 'RUNNING',
    startedAtMs: at,
    deadlineMs: at + 3_600_000n,
    history: [
      {
        $typeName: 'spark_gateway.v1.JobTransition',
        state: 'PENDING',
        atMs: at,
        reasonCode: 'QUEUED',
        reason: 'waits',
      },
    ],
  });
  const status = await answerOf<JobStatusView>(t, await world.ask('/status/job-1'), 'JobStatus');
  t.like(status, {
    started_at: '2026-11-29T10:00:00.000Z',
    deadline: '2026-11-29T11:00:00.000Z',
    ended_at: null,
  });
  t.deepEqual(status.history, [
    {
      state: 'PENDING',
      at: '2026-11-29T10:00:00.000Z',
      reason: { code: 'QUEUED', message: 'waits' },
    },
  ]);
});

test('a job of somebody else and one that does not exist are the same 404', async (t) => {
  const world = await PlaygroundWorld.start(t);
  world.gateway.add('job-1', { user: 'bob@example.com' });
  for (const id of ['job-1', 'job-2', 'NO%20id', '..%2f..%2fetc', '%00']) {
    for (const path of [`/status/${id}`, `/results/${id}`, `/logs/${id}`]) {
      const refused = await world.ask(path);
      t.is(refused.status, 404, path);
      t.is((await problemOf(t, refused)).code, 'JOB_UNKNOWN');
    }
  }
});

test('results: rows, schema and count, exact beyond what numbers of JSON hold', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'results-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'job-1'));
  const preview = { columns: ['id'], rows: [['9007199254740993'], [null]], truncated: true };
  writeFileSync(join(root, 'job-1/_preview.json'), JSON.stringify(preview));
  writeFileSync(join(root, 'job-1/_schema.json'), '{"type":"struct","fields":[]}');
  const outputPath = pathToFileURL(join(root, 'job-1')).href;
  const world = await PlaygroundWorld.start(t, { folders: [root] });
  for (const [resultCount, count] of [
    [2n, 2],
    [9007199254740993n, '9007199254740993'],
    [-1n, null],
  ] as const) {
    world.gateway.add('job-1', { state: 'COMPLETED', outputPath, resultCount });
    t.deepEqual(await answerOf<ResultsView>(t, await world.ask('/results/job-1'), 'Results'), {
      preview,
      count,
      schema: { type: 'struct', fields: [] },
      output_path: outputPath,
    });
  }
});

test('jobs: my own, filtered, page by page', async (t) => {
  const world = await PlaygroundWorld.start(t);
  for (let at = 1; at <= 7; at += 1) {
    world.gateway.add(`job-${at}`, { state: at % 2 ? 'RUNNING' : 'FAILED' });
  }
  world.gateway.add('job-8', { user: 'bob@example.com' });
  const seen: string[] = [];
  let path = '/jobs?page_size=3';
  for (let pages = 0; pages < 10; pages += 1) {
    const page = await answerOf<JobListView>(t, await world.ask(path), 'JobList');
    seen.push(...page.jobs.map(({ job_id: id }) => id));
    if (page.next_page_token === null) break;
    path = `/jobs?page_size=3&page_token=${page.next_page_token}`;
  }
  t.deepEqual(seen, ['job-7', 'job-6', 'job-5', 'job-4', 'job-3', 'job-2', 'job-1']);
  const failed = await answerOf<JobListView>(
    t,
    await world.ask('/jobs?state=FAILED,UNKNOWN'),
    'JobList',
  );
  t.deepEqual(
    failed.jobs.map(({ job_id: id }) => id),
    ['job-6', 'job-4', 'job-2'],
  );
  const all = await answerOf<JobListView>(t, await world.ask('/jobs?mine=false'), 'JobList');
  t.is(all.jobs.length, 8);
});

test('jobs of several Runners are one list, newest first, page by page', async (t) => {
  const world = await PlaygroundWorld.start(t, { further: ['prod'] });
  const prod = world.further.get('prod')?.gateway;
  for (let at = 1; at <= 9; at += 1) {
    const gateway = at % 3 === 0 ? prod : world.gateway;
    gateway?.add(`job-${at}`, { createdAtMs: BigInt(1_000_000 + at) });
  }
  const seen: string[] = [];
  let path = '/jobs?page_size=2';
  for (let pages = 0; pages < 10; pages += 1) {
    const page = await answerOf<JobListView>(t, await world.ask(path), 'JobList');
    seen.push(...page.jobs.map(({ job_id: id }) => id));
    if (page.next_page_token === null) break;
    path = `/jobs?page_size=2&page_token=${page.next_page_token}`;
  }
  t.deepEqual(
    seen,
    [9, 8, 7, 6, 5, 4, 3, 2, 1].map((at) => `job-${at}`),
  );
});

test('each environment has its Runner, and a job is found at whichever has it', async (t) => {
  const clock = new WatchedClock();
  const world = await PlaygroundWorld.start(t, { further: ['prod'], runnersClock: clock });
  const prod = world.further.get('prod');
  await world.post('/submit', { ...body, environment: 'prod' });
  t.is(prod?.gateway.jobs.size, 1);
  t.is(world.gateway.jobs.size, 0);
  prod?.gateway.add('job-p', { state: 'RUNNING' });
  t.is((await world.ask('/status/job-p')).status, 200);
  await prod?.stopRunner();
  // While one of them is away, a job that the others do not know is a doubt, and no 404.
  const doubt = await hastened(clock, world.ask('/status/job-q'));
  t.is(doubt.status, 503);
  t.is((await problemOf(t, doubt)).code, 'RUNNER_UNAVAILABLE');
});

test('a Runner that is away is 503 with a time to come back', async (t) => {
  const world = await PlaygroundWorld.start(t);
  world.gateway.fates = [new GatewayError('JOB_LIMIT_EXCEEDED', 'wait', { retryAfterMs: 5_000 })];
  const limited = await world.post('/submit', body);
  t.is(limited.status, 429);
  t.is(limited.headers.get('retry-after'), '5');
});

for (const [path, said] of [
  ['/jobs?state=running', /state must match/],
  ['/jobs?page_size=0', /page_size/],
  ['/jobs?page_size=501', /page_size/],
  ['/jobs?status=RUNNING', /"status", which is not known/],
  ['/jobs?team=a&team=b', /"team" is given twice/],
  ['/jobs?page_token=xyz', /page_token that is not from here/],
  ['/logs/job-1?tail=0', /tail/],
  ['/status/job-1?verbose=1', /"verbose", which is not known/],
] as const) {
  test(`${path} is refused, saying why`, async (t) => {
    const world = await PlaygroundWorld.start(t);
    world.gateway.add('job-1');
    const refused = await world.ask(path);
    t.is(refused.status, 400);
    t.regex((await problemOf(t, refused)).detail, said);
  });
}

test('what is not there, and a method that is not allowed, are problems, too', async (t) => {
  const world = await PlaygroundWorld.start(t);
  t.is((await problemOf(t, await world.ask('/nothing'))).code, 'HTTP_PATH_UNKNOWN');
  const refused = await world.ask('/submit');
  t.is(refused.status, 405);
  t.is(refused.headers.get('allow'), 'POST');
  t.is((await problemOf(t, refused)).code, 'HTTP_METHOD_REFUSED');
});

test('without a token nothing is answered but the description', async (t) => {
  const world = await PlaygroundWorld.start(t);
  for (const { route } of endpoints) {
    const [method = '', path = ''] = route.split(' ');
    const refused = await fetch(`${world.url}${API}${path.replace('{id}', 'job-1')}`, { method });
    t.is(refused.status, 401, route);
    t.regex(refused.headers.get('www-authenticate') ?? '', /^Bearer/);
    t.is((await problemOf(t, refused)).code, 'TOKEN_MISSING');
  }
  t.is((await fetch(`${world.url}${API}/openapi.json`)).status, 200);
  t.is((await fetch(`${world.url}/docs`)).status, 200);
});

test('every sample is a good manifest', async (t) => {
  const world = await PlaygroundWorld.start(t);
  const samples = await answerOf<SampleView[]>(t, await world.ask('/samples'), 'Samples');
  t.true(samples.length >= 3);
  for (const { name, manifest: text } of samples)
    t.deepEqual(parseManifest(text).problems, [], name);
});

test('options, schema and me are of whoever asks', async (t) => {
  const world = await PlaygroundWorld.start(t);
  t.like(await answerOf(t, await world.ask('/options'), 'Choices'), {
    teams: ['alice@example.com'],
  });
  t.like(await answerOf(t, await world.ask('/schema'), 'ManifestSchema'), {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
  });
  t.like(await answerOf(t, await world.ask('/me', { user: 'bob' }), 'Me'), {
    principal: { subject: 'bob@example.com' },
  });
});

test('requests are counted by their route and outcome', async (t) => {
  const world = await PlaygroundWorld.start(t);
  await world.ask('/status/job-9');
  await world.ask('/samples');
  t.deepEqual(
    world.ends.map(({ route, code }) => [route, code]),
    [
      ['GET /status/{id}', 'JOB_UNKNOWN'],
      ['GET /samples', 'OK'],
    ],
  );
});
