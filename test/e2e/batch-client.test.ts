/** clients/python's batch client, and the example of its page, with a whole gateway and real Spark. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { startBatchGateway } from '../support/batch-gateway.js';
import type { Gateway } from '../support/gateway.js';
import { runProgram } from '../support/program.js';
import { pythonOf } from '../support/pyspark.js';

const test = anyTest as TestFn<{ gateway: Gateway; home: string }>;
type T = ExecutionContext<{ gateway: Gateway; home: string }>;

const root = fileURLToPath(new URL('../../../', import.meta.url));
const examples = join(root, 'clients/examples/playground');
const REPORT = join(examples, 'daily_report.yaml');

interface Refusal {
  readonly text: string;
  readonly status: number;
  readonly code: string | null;
  readonly errors: readonly { readonly line?: number; readonly column?: number }[];
}

interface Failure {
  readonly text: string;
  readonly state: string;
  readonly reason: { readonly code: string; readonly line?: number; readonly step?: string } | null;
}

test.before(async (t) => {
  t.context.home = mkdtempSync(join(tmpdir(), 'batch-client-'));
  t.context.gateway = await startBatchGateway();
});

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
  rmSync(t.context.home, { recursive: true, force: true });
});

/** Runs a program of a person's with what the page says to set, and a token. */
async function python(t: T, args: readonly string[], user = 'alice'): Promise<string> {
  const { gateway, home } = t.context;
  const { exitCode, output } = await runProgram(pythonOf('4'), args, {
    cwd: home,
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      LANG: 'C.UTF-8',
      PYTHONPATH: join(root, 'clients/python'),
      SPARK_CONNECT_PLAYGROUND: gateway.playgroundUrl,
      SPARK_CONNECT_TOKEN: await gateway.token(user),
    },
  });
  if (exitCode !== 0) throw new Error(`${args.join(' ')} ended with ${exitCode}:\n${output}`);
  return output;
}

/** What test/e2e/python/batch_jobs.py says of it. */
async function ask<R>(t: T, args: readonly string[], user = 'alice'): Promise<R> {
  const output = await python(t, [join(root, 'test/e2e/python/batch_jobs.py'), ...args], user);
  return JSON.parse(output) as R;
}

/** A file with the report, of which something is written otherwise. */
function report(t: T, name: string, from: string | RegExp, to: string): string {
  const text = readFileSync(REPORT, 'utf8');
  const other = text.replace(from, to);
  t.not(other, text);
  const file = join(t.context.home, name);
  writeFileSync(file, other);
  return file;
}

const longReport = (t: T) =>
  report(
    t,
    'long.yaml',
    /SELECT[^]*$/,
    'SELECT count(*) AS n FROM range(0, 100000000000000) WHERE id % 7 = 3\n',
  );

test.serial('the example of the page: submitted, followed, its rows shown', async (t) => {
  const output = await python(t, [join(examples, 'submit_report.py'), REPORT]);
  const lines = output.trimEnd().split('\n');
  t.regex(lines[0] ?? '', /^Job job-\w+$/);
  const page = readFileSync(join(root, 'docs/clients/playground.md'), 'utf8');
  t.regex(lines.at(-1) ?? '', / 2 rows in all$/);
  t.true(page.includes(`\`\`\`\n${lines.at(-1)}\n\`\`\`\n`), `the page says: ${lines.at(-1)}`);
  t.true(lines.length > 2, output);
});

test.serial(
  'a submission with a key is one job, whose log is followed and whose rows come',
  async (t) => {
    const first = await ask<string>(t, ['submit', REPORT, 'report-2026-11-29']);
    const second = await ask<string>(t, ['submit', REPORT, 'report-2026-11-29']);
    t.is(second, first);
    const done = await ask<{
      readonly state: string;
      readonly atFirstLine: string;
      readonly states: readonly string[];
      readonly lines: readonly string[];
      readonly again: readonly string[];
      readonly now: readonly string[];
      readonly columns: readonly string[];
      readonly rows: readonly (readonly unknown[])[];
      readonly count: number;
      readonly schema: { readonly fields: readonly { readonly name: string }[] };
      readonly path: string;
    }>(t, ['complete', first]);
    t.is(done.state, 'COMPLETED');
    t.deepEqual(done.states, ['COMPLETED'], 'the log has ended with the job');
    t.regex(done.atFirstLine, /^(PENDING|RUNNING)$/, 'lines come before it has ended');
    t.deepEqual(done.again, done.lines, 'the same once more');
    t.deepEqual(done.now, done.lines.slice(-done.now.length));
    t.deepEqual(done.columns, ['city', 'orders', 'total']);
    t.deepEqual(
      done.rows.map(([city]) => city),
      ['Berlin', 'Paris'],
    );
    t.is(done.count, 2);
    t.deepEqual(
      done.schema.fields.map(({ name }) => name),
      done.columns,
    );
    t.true(done.path.includes(first), done.path);
    t.not(await ask<string>(t, ['submit', REPORT, 'report-2026-11-30']), first);
  },
);

test.serial(
  'a manifest’s mistakes are shown with line and column, and no job begins',
  async (t) => {
    const file = report(t, 'mistakes.yaml', /name: by_city\n( *)sql/, 'name: by city\n$1sqll');
    const refusal = await ask<Refusal | null>(t, ['mistakes', file]);
    t.like(refusal, { status: 400, code: 'MANIFEST_INVALID' });
    t.true((refusal?.errors.length ?? 0) >= 2, refusal?.text);
    for (const { line, column } of refusal?.errors ?? []) {
      t.regex(refusal?.text ?? '', new RegExp(`^  line ${line}, column ${column}: \\S`, 'm'));
    }
    t.regex(refusal?.text ?? '', /^ {2}line 18, column \d+: .*by city/m);
  },
);

test.serial('a mistake in SQL is told with its place when the job has failed', async (t) => {
  const file = report(t, 'sql.yaml', 'SELECT city,', 'SELECT town,');
  const failure = await ask<Failure | null>(t, ['fail', await ask<string>(t, ['submit', file])]);
  t.is(failure?.state, 'FAILED');
  t.like(failure?.reason, { code: 'SQL_INVALID', step: 'by_city', line: 20 });
  t.regex(failure?.text ?? '', /is FAILED: SQL_INVALID: .*town.*\(line 20, column \d+\)/s);
});

test.serial('a job that runs is stopped, which is no completion', async (t) => {
  const id = await ask<string>(t, ['submit', longReport(t)]);
  const end = await ask<{
    readonly early: Refusal | null;
    readonly stopped: boolean;
    readonly again: boolean;
    readonly state: string;
    readonly failure: Failure | null;
  }>(t, ['stop', id]);
  t.like(end.early, { status: 400, code: 'JOB_NOT_ENDED' });
  t.true(end.stopped);
  t.true(end.again, 'a second time is the same');
  t.is(end.state, 'CANCELLED');
  t.is(end.failure?.state, 'CANCELLED');
});

test.serial('a job of alice is unknown to bob, whatever he asks of it', async (t) => {
  const id = await ask<string>(t, ['submit', REPORT, 'report-2026-11-29']);
  const said = await ask<Record<string, Refusal | null>>(t, ['strangers', id], 'bob');
  t.deepEqual(Object.keys(said), ['get', 'wait', 'logs', 'results', 'cancel']);
  for (const refusal of Object.values(said)) {
    t.like(refusal, { status: 404, code: 'JOB_UNKNOWN' });
  }
});
