import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { outputDeletion } from '../../src/processes/batch-output.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { temporaryFolder } from '../support/local-world.js';

async function world(t: ExecutionContext, more = '') {
  const stateDir = await temporaryFolder(t);
  const settings = compileSettings({
    file: { name: 'settings.yaml', text: `state_dir: ${stateDir}\n${more}` },
    env: {},
    overrides: [],
    cwd: '/',
  });
  const put = (name: string) => {
    const folder = join(stateDir, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, '_status.json'), '{}');
    return folder;
  };
  return { settings, put };
}

test('on one machine the results of a job are deleted, and nothing but them', async (t) => {
  const { settings, put } = await world(t, 'drivers: { source: local }');
  const [own, other] = [put('batch/output/sjns-a/job-a'), put('batch/output/sjns-a/job-b')];
  const outside = put('batch/records');
  const deleteOutput = outputDeletion(settings);
  await deleteOutput?.(pathToFileURL(own).href);
  t.false(existsSync(own));
  await deleteOutput?.(pathToFileURL(outside).href);
  await deleteOutput?.('s3://results/sjns-a/job-b');
  await t.throwsAsync(async () => deleteOutput?.(`${pathToFileURL(other).href}/../../../records`));
  t.true(existsSync(other) && existsSync(outside));
});

for (const [where, more] of [
  [
    'in a folder that an operator named',
    'drivers: { source: local }\nbatch: { output_url: "file:///data/jobs/" }',
  ],
  [
    'of jobs in clusters',
    'drivers: { source: kubernetes }\nbatch: { output_url: "s3://results/" }',
  ],
] as const) {
  test(`results ${where} are not the gateway’s to delete`, async (t) => {
    const { settings } = await world(t, more);
    t.is(outputDeletion(settings), undefined);
  });
}
