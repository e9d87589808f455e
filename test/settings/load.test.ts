import test from 'ava';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '../../src/settings/compile-settings.js';

test('reads a file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'settings-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, 'gateway.yaml');
  await writeFile(file, 'hot_pool_size: 2\nstate_dir: state\n');
  const settings = await loadSettings({ file, env: {}, overrides: [], cwd: '/' });
  t.is(settings.hotPoolSize, 2);
  t.is(settings.stateDir, join(directory, 'state'));
});

test('a file that is not there is one clear line', async (t) => {
  const error = await t.throwsAsync(
    loadSettings({ file: '/no/such/file.yaml', env: {}, overrides: [], cwd: '/' }),
  );
  t.regex(
    error?.message ?? '',
    /^\/no\/such\/file\.yaml: the settings file cannot be read: ENOENT/,
  );
});
