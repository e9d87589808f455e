import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { renderPolicyCrd } from '../../src/policy/sources/policy-resource-schema.js';
import { manifestText, replaced } from '../manifest/support.js';
import { startAdminApi } from '../support/admin-api.js';

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

function gateway(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['build/src/main.js', ...args],
      { env: { PATH: process.env['PATH'], ...env } },
      (_error, stdout, stderr) => resolve({ exitCode: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

async function fileWith(t: ExecutionContext, text: string, name = 'policy.yaml'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'by-file-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, name);
  await writeFile(file, text);
  return file;
}

const zoe = '--user zoe@example.com --groups x,y --team ads --environment dev'.split(' ');

for (const form of ['table', 'json', 'yaml']) {
  test(`policy explain --file says as ${form} what a gateway with this policy in force says`, async (t) => {
    const api = await startAdminApi(t);
    const { text } = await api.read<{ text: string }>('policy');
    const asked = ['policy', 'explain', ...zoe, '-o', form];
    const token = { SPARK_GATEWAY_TOKEN: await api.tokenOf('reader') };
    const online = await gateway([...asked, '--server', api.url], token);
    const byFile = await gateway([...asked, '--file', await fileWith(t, text)]);
    t.deepEqual(byFile, online);
    t.is(byFile.exitCode, 0);
    t.regex(byFile.stdout, /NAMESPACE_REFUSED/);
  });
}

test('policy explain --file says each mistake with its line, and needs somebody to explain', async (t) => {
  const file = await fileWith(t, 'apiVersion: spark-gateway/v1alpha1\nkind: Routing\n');
  const bad = await gateway(['policy', 'explain', ...zoe, '--file', file]);
  t.is(bad.exitCode, 2);
  t.regex(bad.stderr, /policy\.yaml:2:7: "Routing" is not RoutingPolicy/);
  const missing = await gateway(['policy', 'explain', ...zoe, '--file', `${file}.old`]);
  t.is(missing.exitCode, 2);
  t.regex(missing.stderr, /cannot be read: ENOENT/);
  const nobody = await gateway(['policy', 'explain', '--file', file, '--as', 'bob']);
  t.is(nobody.exitCode, 2);
  t.regex(nobody.stderr, /--as is for a gateway that runs/);
  t.regex(nobody.stderr, /--file needs --user or --service/);
});

test('what a command prints into a pipe arrives whole, though it is more than a pipe holds', async (t) => {
  const { stdout } = await gateway(['policy', 'crd']);
  t.true(stdout.length > 65_536);
  t.is(stdout, renderPolicyCrd());
});

const inDevelopment = [
  '--file',
  'config/development/policy.yaml',
  '--config',
  'config/development/gateway.yaml',
];

function explainJob(manifest: string, ...rest: string[]): Promise<Ran> {
  const whose = ['--service', 'local', '--user', 'alice@example.com', '--manifest', manifest];
  return gateway(['policy', 'explain', ...inDevelopment, ...whose, ...rest]);
}

test('policy explain --manifest says of a batch job what the policy allows, and each mistake of the manifest', async (t) => {
  const job = await fileWith(t, manifestText(), 'job.yaml');
  const allowed = await explainJob(job, '--environment', 'dev', '--job-options', 'ttl_seconds=600');
  t.is(allowed.stderr, '');
  t.regex(allowed.stdout, /for alice@example\.com is allowed in sjns-data-dev/);
  t.regex(allowed.stdout, /at most 600 s, outside the sandbox/);
  const refused = await explainJob(job, '--environment', 'prod', '-o', 'json');
  t.like(JSON.parse(refused.stdout), { allowed: false, refusal: { code: 'BATCH_REFUSED' } });
  const option = await explainJob(job, '--environment', 'dev', '--job-options', 'ttl_second=600');
  t.is(option.exitCode, 2);
  t.regex(option.stderr, /"ttl_second" is no option; did you mean "ttl_seconds"/);
  const bad = await explainJob(
    await fileWith(t, 'kind: SparkJob\n', 'bad.yaml'),
    '--environment',
    'dev',
  );
  t.is(bad.exitCode, 2);
  t.regex(bad.stderr, /bad\.yaml:1:1: a manifest needs "metadata"/);
});

test('job validate says every mistake of every file with its line and column', async (t) => {
  const good = await fileWith(t, manifestText(), 'good.yaml');
  const local = await fileWith(
    t,
    replaced(manifestText(), 's3a://lake/raw/orders', '/data/orders'),
    'local.yaml',
  );
  const bad = await fileWith(t, replaced(manifestText(), 'mode: error', 'mode: eror'), 'bad.yaml');
  const all = await gateway(['job', 'validate', good, local, bad]);
  t.is(all.exitCode, 2);
  t.regex(
    all.stdout,
    /good\.yaml: good, a job of team data for Spark 3\.5 with 2 sources, 1 transform, 1 sink/,
  );
  t.regex(all.stderr, /local\.yaml:16:9: "\/data\/orders" is a file of the machine/);
  t.regex(
    all.stderr,
    /bad\.yaml:\d+:15: "eror" is not error, append, overwrite or ignore; did you mean "error"/,
  );
  t.is((await gateway(['job', 'validate', '--local-paths', good, local])).exitCode, 0);
  const other = await gateway(['job', 'validate', '--team', 'ml', good]);
  t.regex(other.stderr, /submitted for the team "ml", but its manifest is of "data"/);
});
