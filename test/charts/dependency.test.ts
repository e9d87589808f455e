/** The charts as parts of another chart, and as others package them. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { helm, helms } from './helm.js';

/** Names by their folders. */
const charts = {
  'spark-gateway': 'spark-gateway',
  'spark-4.1': 'spark-4-1',
  'spark-3.5': 'spark-3-5',
};

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'chart-'));
  t.teardown(() => rmSync(made, { recursive: true }));
  return made;
}

for (const each of helms) {
  test(`${each.name}: the charts are parts of a chart that gives global values and switches them`, (t) => {
    const parent = folder(t);
    mkdirSync(join(parent, 'charts'));
    for (const name of Object.keys(charts)) {
      cpSync(join('charts', name), join(parent, 'charts', name), {
        recursive: true,
        dereference: true,
      });
    }
    const dependencies = Object.values(charts).map(
      (name) => `  - { name: ${name}, version: 0.1.0, condition: ${name}.enabled }`,
    );
    writeFileSync(
      join(parent, 'Chart.yaml'),
      ['apiVersion: v2', 'name: platform', 'version: 1.0.0', 'dependencies:', ...dependencies].join(
        '\n',
      ),
    );
    writeFileSync(
      join(parent, 'values.yaml'),
      [
        'global: { team: search }',
        'spark-gateway: { enabled: true }',
        // Two servers of one release need a name each.
        'spark-4-1: { enabled: true, fullnameOverride: spark-41 }',
        'spark-3-5: { enabled: true }',
      ].join('\n'),
    );
    mkdirSync(join(parent, 'templates'));
    writeFileSync(join(parent, 'templates/none.yaml'), '');
    t.notThrows(() => each.lint(parent));
    const kinds = (set: Record<string, unknown>) =>
      each.objects(parent, { set }).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    const all = kinds({});
    t.is(new Set(all).size, all.length, 'no two parts make the same object');
    t.true(all.includes('Deployment sc-spark-gateway-envoy'));
    t.false(
      kinds({ 'spark-gateway': { enabled: false } }).some((one) => one.includes('gateway-envoy')),
    );
  });
}

test('a version with a build is a good label', (t) => {
  const chart = join(folder(t), 'chart');
  cpSync('charts/spark-4.1', chart, { recursive: true, dereference: true });
  const file = join(chart, 'Chart.yaml');
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace('appVersion: 4.1.3', 'appVersion: 4.1.3+build/7 (mine)'),
  );
  const labels = helm.objects(chart).map(({ metadata }) => metadata.labels ?? {});
  t.true(labels.length > 0);
  for (const value of labels.flatMap((one) => Object.values(one))) {
    t.regex(value, /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/);
  }
});

for (const each of helms) {
  test(`${each.name}: a packaged chart renders what its folder does`, (t) => {
    const into = folder(t);
    for (const [name, packaged] of Object.entries(charts)) {
      execFileSync(each.bin, ['package', join('charts', name), '--destination', into], {
        stdio: 'pipe',
      });
      t.is(each.text(join(into, `${packaged}-0.1.0.tgz`)), each.text(join('charts', name)), name);
    }
  });
}
