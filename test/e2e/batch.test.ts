import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { hasEnded } from '../../src/model/job.js';
import type {
  JobListView,
  JobStatusView,
  ProblemView,
  ResultsView,
} from '../../src/model/playground-api.js';
import { startBatchGateway } from '../support/batch-gateway.js';
import type { Gateway } from '../support/gateway.js';
import { callUnary } from '../support/unary-call.js';

const test = anyTest as TestFn<{ gateway: Gateway; token: string }>;

test.before(async (t) => {
  t.context.gateway = await startBatchGateway();
  t.context.token = await t.context.gateway.token('alice');
});

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
});

const manifest = (sql: string, more = '') => `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: e2e
  team: data
spec:
  engine:
    version: "4.1"
  coreEtl:
    sources:
      - name: orders
        rows:
          - {id: 1, city: Berlin}
          - {id: 2, city: Paris}
    transforms:
      - name: result
        sql: |
${sql
  .split('\n')
  .map((line) => `          ${line}`)
  .join('\n')}
${more}`;

const QUICK = manifest('SELECT id, city FROM orders ORDER BY id');
const LONG = manifest('SELECT count(*) AS n FROM range(0, 100000000000000) WHERE id % 7 = 3');

type T = ExecutionContext<{ gateway: Gateway; token: string }>;

function ask(t: T, path: string, init: RequestInit = {}): Promise<Response> {
  const { gateway, token } = t.context;
  const headers = new Headers(init.headers);
  if (!headers.has('authorization')) headers.set('authorization', `Bearer ${token}`);
  return fetch(`${gateway.playgroundUrl}/api/v1/playground${path}`, { ...init, headers });
}

function post(t: T, path: string, body: unknown, headers: Record<string, string> = {}) {
  return ask(t, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

async function submit(t: T, text: string, environment = 'dev', key?: string): Promise<string> {
  const headers = key === undefined ? {} : { 'idempotency-key': key };
  const response = await post(t, '/submit', { manifest: text, environment }, headers);
  const answer = (await response.json()) as { job_id?: string };
  if (answer.job_id === undefined) throw new Error(JSON.stringify(answer));
  return answer.job_id;
}

async function status(t: T, id: string): Promise<JobStatusView> {
  const response = await ask(t, `/status/${id}`);
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as JobStatusView;
}

function ended(t: T, id: string): Promise<JobStatusView> {
  return t.context.gateway.until(
    () => status(t, id),
    ({ state }) => hasEnded(state),
  );
}

function runs(t: T, id: string): Promise<JobStatusView> {
  return t.context.gateway.until(
    () => status(t, id),
    ({ state }) => state === 'RUNNING' || hasEnded(state),
  );
}

async function call<I extends DescMessage, O extends DescMessage>(
  t: T,
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  const client = new Client(t.context.gateway.runnerAddress, credentials.createInsecure());
  const headers = { 'x-doordash-user': 'alice@example.com' };
  try {
    return await callUnary(client, method, message, { headers, deadline: Date.now() + 30_000 });
  } finally {
    client.close();
  }
}

/** All that a log stream has told, until its end. */
async function followed(t: T, id: string): Promise<{ lines: string[]; names: string[] }> {
  const response = await ask(t, `/logs/${id}`, { headers: { accept: 'text/event-stream' } });
  const text = await response.text();
  const names = [...text.matchAll(/^event: (\w+)$/gm)].map(([, name = '']) => name);
  const lines = [...text.matchAll(/^event: log\n(?:id: .*\n)?data: (.*)$/gm)].flatMap(
    ([, data = '[]']) => JSON.parse(data) as string[],
  );
  return { lines, names };
}

test.serial('a manifest goes in by REST, and rows come out: by REST and by gRPC', async (t) => {
  const id = await submit(t, QUICK);
  // B5: asked for before anything has started.
  const early = await ask(t, `/logs/${id}?tail=10`);
  t.is(early.status, 200);
  const log = followed(t, id);
  const done = await ended(t, id);
  t.is(done.state, 'COMPLETED', JSON.stringify(done, undefined, 2));
  const results = (await (await ask(t, `/results/${id}`)).json()) as ResultsView;
  t.deepEqual(results.preview?.columns, ['id', 'city']);
  t.deepEqual(
    results.preview?.rows.map((row) => row[1]),
    ['Berlin', 'Paris'],
  );
  t.is(results.count, 2);
  const { names, lines } = await log;
  t.is(names.at(-1), 'end');
  t.true(lines.length > 0);
  const checked = await call(t, SparkRunnerService.method.check, {
    jobId: id,
    includeLogs: true,
    includeResults: true,
  });
  t.like(checked, { state: 'COMPLETED', error: '', resultCount: 2n });
  t.deepEqual(JSON.parse(checked.resultPreview), results.preview);
  t.true(checked.logs.length > 0);
  const { jobs } = (await (await ask(t, '/jobs?page_size=1')).json()) as JobListView;
  t.is(jobs[0]?.job_id, id);
});

test.serial('a mistake in SQL is told with its step and its line in the manifest', async (t) => {
  const id = await submit(t, manifest('SELECT id,\n  no_such_column\nFROM orders'));
  const failed = await ended(t, id);
  t.is(failed.state, 'FAILED');
  t.like(failed.reason, { code: 'SQL_INVALID', step: 'result' });
  t.is(failed.reason?.line, 19, JSON.stringify(failed.reason));
  t.regex(failed.error ?? '', /^SQL_INVALID: .*no_such_column/s);
  t.is((await ask(t, `/results/${id}`)).status, 200);
});

test.serial('in the sandbox SQL that reads files of the machine is refused', async (t) => {
  const id = await submit(t, manifest('SELECT * FROM text.`/etc/passwd`'), 'test');
  const failed = await ended(t, id);
  t.is(failed.state, 'FAILED');
  t.regex(failed.reason?.code ?? '', /SANDBOX|REFUSED/);
  t.notRegex(failed.logs, /root:x:0/);
});

test.serial(
  '100 equal submissions at once are one job, which may be cancelled before it runs',
  async (t) => {
    const ids = await Promise.all(
      Array.from({ length: 100 }, () => submit(t, LONG, 'dev', 'hundred')),
    );
    t.is(new Set(ids).size, 1);
    const [id = ''] = ids;
    const cancelled = (await (await post(t, `/cancel/${id}`, {})).json()) as { success: boolean };
    t.true(cancelled.success);
    const again = (await (await post(t, `/cancel/${id}`, {})).json()) as { success: boolean };
    t.true(again.success, 'a second time is the same');
    t.is((await ended(t, id)).state, 'CANCELLED');
  },
);

test.serial('a job that runs is stopped, and stays cancelled', async (t) => {
  const id = await submit(t, LONG);
  t.is((await runs(t, id)).state, 'RUNNING');
  t.is((await ask(t, `/results/${id}`)).status, 400);
  await post(t, `/cancel/${id}`, {});
  t.is((await ended(t, id)).state, 'CANCELLED');
  t.is((await followed(t, id)).names.at(-1), 'end');
});

test.serial(
  'Runner and control plane are killed while a job runs: it is not missed, nor told to have failed',
  async (t) => {
    const { gateway } = t.context;
    const id = await submit(t, LONG);
    await runs(t, id);
    const log = followed(t, id);
    await gateway.restart('runner');
    t.is((await status(t, id)).state, 'RUNNING');
    await gateway.restart('control-plane');
    // B1, B18: never an answer that says less than was known.
    const seen = new Set<string>();
    await gateway.until(
      async () => {
        const response = await ask(t, `/status/${id}`);
        const answer = (await response.json()) as { state?: string; code?: string };
        seen.add(answer.state ?? answer.code ?? '');
        return answer.state;
      },
      (state) => state === 'RUNNING',
    );
    t.false(seen.has('JOB_UNKNOWN'));
    t.false(seen.has('FAILED'));
    await post(t, `/cancel/${id}`, {});
    t.is((await ended(t, id)).state, 'CANCELLED');
    const { names } = await log;
    t.is(names.at(-1), 'end', 'the stream has outlived both');
    t.is(names.filter((name) => name === 'gap').length, 0);
  },
);

test.serial('what does not exist is 404 with a code, whatever is asked of it', async (t) => {
  for (const path of ['/status/', '/results/', '/logs/']) {
    const response = await ask(t, `${path}job-aaaaaaaaaaaaaaaaaaaaaaaaaa`);
    t.is(response.status, 404);
    t.is(((await response.json()) as ProblemView).code, 'JOB_UNKNOWN');
  }
});

test.serial('a job of alice is none of bob’s', async (t) => {
  const { jobs } = (await (await ask(t, '/jobs')).json()) as JobListView;
  const id = jobs[0]?.job_id ?? '';
  const token = await t.context.gateway.token('bob');
  const headers = { authorization: `Bearer ${token}` };
  t.is((await ask(t, `/status/${id}`, { headers })).status, 404);
  const theirs = (await (await ask(t, '/jobs?mine=false', { headers })).json()) as JobListView;
  t.deepEqual(theirs.jobs, []);
});
