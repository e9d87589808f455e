import test from 'ava';
import { readFile } from 'node:fs/promises';
import { gatewayRoles } from '../../src/settings/setting.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { renderExample, describeSettings, rows } from '../../src/settings/rows.js';
import { isServiceLink } from '../../src/settings/written-settings.js';

test('each default is allowed by its own type', (t) => {
  for (const { name, setting } of rows) {
    if (setting.form === 'text' && setting.default !== undefined) {
      t.not(setting.type.parse(setting.default, '/'), undefined, name);
    }
  }
});

test('no two settings share a variable, and none looks like one that Kubernetes adds', (t) => {
  t.is(new Set(rows.map(({ env }) => env)).size, rows.length);
  t.deepEqual(
    rows.filter(({ env }) => isServiceLink(env)).map(({ env }) => env),
    [],
  );
});

test('each setting says what it is for and who uses it', (t) => {
  for (const { name, setting } of rows) {
    t.true(setting.about.length > 10, name);
    t.true(setting.roles.length > 0, name);
  }
  t.is(describeSettings('start').length, rows.length);
  for (const role of gatewayRoles) t.true(describeSettings(role).length > 0, role);
});

test('the example file is valid and changes nothing', (t) => {
  const sources = { env: {}, overrides: [], cwd: '/etc' };
  const file = { name: '/etc/settings.yaml', text: renderExample() };
  t.deepEqual(compileSettings({ ...sources, file }), compileSettings(sources));
});

test('docs/settings.yaml is current (spark-gateway settings example > docs/settings.yaml)', async (t) => {
  t.is(await readFile('docs/settings.yaml', 'utf8'), renderExample());
});
