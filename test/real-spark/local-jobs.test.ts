/** Local batch jobs with a real spark-submit: from a manifest to rows, and to the ends that nobody wants. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { findMarked } from '../../src/batch/local/application-folders.js';
import { sparkSubmit } from '../../src/batch/local/spark-submit.js';
import { sessionMembers } from '../../src/lib/child-processes/proc.js';
import { canonicalJobFile } from '../../src/manifest/job-file.js';
import { readManifest } from '../../src/manifest/parse.js';
import { classArchive } from '../support/class-archives.js';
import {
  hasEnded,
  jobToRun,
  logOf,
  NAMESPACE,
  openLocalBatch,
  untilJob,
} from '../support/local-batch.js';
import { temporaryFolder } from '../support/local-world.js';
import { sparkHome } from '../support/spark-home.js';

async function world(t: ExecutionContext) {
  const stateFolder = await temporaryFolder(t);
  const javaHome = process.env['JAVA_HOME'];
  const java = javaHome === undefined ? {} : { javaHome };
  const batch = await openLocalBatch(t, {
    stateFolder,
    graceMs: 30_000,
    makeCommand: sparkSubmit({
      sparkHomes: [sparkHome(), sparkHome('3.5')],
      ...java,
      classArchive: (home) =>
        classArchive(home === sparkHome() ? '4' : '3.5', { sparkHome: home, ...java }),
      memory: '1g',
      cores: 1,
    }),
  });
  const create = async (id: string, sql: string, version = '4.1') => {
    const outputPath = pathToFileURL(join(stateFolder, 'output', id)).href;
    const manifest = readManifest(manifestOf(sql, version), { localPaths: true });
    const jobFile = canonicalJobFile({
      jobId: id,
      team: 'ads',
      environment: 'local',
      user: 'alice',
      outputPath,
      sandbox: true,
      sampling: undefined,
      manifest,
    });
    await batch.create(jobToRun(id, 'job', { jobFile, outputPath, engineVersion: version }));
  };
  const output = async (id: string, name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(stateFolder, 'output', id, name), 'utf8'));
  return { batch, stateFolder, create, output };
}

function manifestOf(sql: string, version: string): string {
  return `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata: {name: report, team: ads}
spec:
  engine: {version: "${version}"}
  coreEtl:
    sources:
      - name: orders
        rows: [{id: 1, price: 2.5}, {id: 2, price: 4}]
    transforms:
      - name: report
        sql: |
${sql
  .split('\n')
  .map((line) => `          ${line}`)
  .join('\n')}
`;
}

const ENDLESS = 'SELECT count(*) AS c FROM range(100000000000) a, range(100000) b';

test.serial('a manifest comes to rows, with the Spark that it names', async (t) => {
  const { batch, create, output, stateFolder } = await world(t);
  await create('job-a', 'SELECT id, price * 2 AS twice\nFROM orders ORDER BY id');
  await create('job-b', 'SELECT id,\n  prize FROM orders', '3.5');
  const status = await untilJob(batch, 'job-a', hasEnded);
  const log = (await logOf(batch, 'job-a')).map(({ text }) => text).join('\n');
  t.like(status, { state: 'SUCCEEDED', exitCode: 0, attempt: 1 }, log);
  t.like(status?.report, { state: 'COMPLETED', rowCount: 2n });
  t.deepEqual(await output('job-a', '_preview.json'), {
    columns: ['id', 'twice'],
    rows: [
      ['1', 5],
      ['2', 8],
    ],
    truncated: false,
  });
  t.regex(log, /coreetl: Transform report/);
  const wrong = await untilJob(batch, 'job-b', hasEnded);
  t.like(wrong, { state: 'FAILED', exitCode: 11 });
  // The second line of the SQL, in the manifest.
  t.like(wrong?.reason, { code: 'SQL_INVALID', step: 'report', line: 14, column: 13 });
  t.deepEqual(await findMarked(stateFolder), []);
});

test.serial('a running job has its page, ends when asked, and leaves its last words', async (t) => {
  const { batch, stateFolder, create, output } = await world(t);
  await create('job-a', ENDLESS);
  const running = await untilJob(batch, 'job-a', (status) => status?.uiUrl !== undefined);
  const answer = await fetch(`${running?.uiUrl}/api/v1/applications`);
  t.is(answer.status, 200);
  const [supervisor] = await findMarked(stateFolder, 'job-a');
  process.kill(supervisor?.id.pid ?? -1, 'SIGTERM');
  t.like(await untilJob(batch, 'job-a', hasEnded), {
    state: 'FAILED',
    exitCode: 143,
    reason: { code: 'TERMINATED' },
  });
  t.like(await output('job-a', '_status.json'), { state: 'FAILED', code: 'TERMINATED' });
  t.deepEqual(await findMarked(stateFolder), []);
});

for (const [victim, text] of [
  ['the Python of a job', 'coreetl_runner.py'],
  ['the JVM of a job', 'org.apache.spark.deploy.SparkSubmit'],
] as const) {
  test.serial(`${victim}, killed, is never taken for success`, async (t) => {
    const { batch, stateFolder, create, output } = await world(t);
    await create('job-a', ENDLESS);
    await untilJob(batch, 'job-a', (status) => status?.report?.state === 'RUNNING');
    const [, jvm] = (await findMarked(stateFolder, 'job-a')).map(({ id }) => id);
    const python = await sessionMembers(jvm?.pid ?? -1);
    const candidates = [...python, ...(jvm ? [jvm] : [])];
    const lines = await Promise.all(
      candidates.map(async ({ pid }) => readFile(`/proc/${pid}/cmdline`, 'utf8')),
    );
    const index = lines.findIndex((line) =>
      text === 'coreetl_runner.py'
        ? line.includes(text) && !line.includes('SparkSubmit')
        : line.includes(text),
    );
    process.kill(candidates[index]?.pid ?? -1, 'SIGKILL');
    const status = await untilJob(batch, 'job-a', hasEnded);
    t.is(status?.state, 'FAILED');
    t.not(status?.exitCode, 0);
    t.not(status?.report?.state, 'COMPLETED');
    const { state } = (await output('job-a', '_status.json')) as { readonly state: string };
    t.not(state, 'COMPLETED');
    await batch.delete(NAMESPACE, 'job-a');
    await untilJob(batch, 'job-a', (found) => found === undefined);
    t.deepEqual(await findMarked(stateFolder), []);
  });
}
