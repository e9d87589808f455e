import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { renderPolicyCrd } from '../../src/policy/sources/policy-resource-schema.js';
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

async function fileWith(t: ExecutionContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'by-file-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, 'policy.yaml');
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
