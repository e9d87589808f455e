/** Alerts and dashboard as Prometheus's own promtool sees them. npm run test:monitoring runs it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { stringify } from 'yaml';
import { type AlertCases, alertCases } from '../alert-cases.js';

const run = promisify(execFile);

async function promtool(t: ExecutionContext, ...args: readonly string[]): Promise<string> {
  const program = process.env['PROMTOOL'];
  if (program === undefined) throw new Error('PROMTOOL is not set: use npm run test:monitoring.');
  const { stdout } = await run(program, args).catch((failure: { readonly stdout?: string }) => {
    t.log(failure.stdout);
    throw failure;
  });
  return stdout;
}

test('the alerts are rules that Prometheus takes', async (t) => {
  t.regex(await promtool(t, 'check', 'rules', 'k8s/monitoring/alerts.yaml'), /SUCCESS: \d+ rules/);
});

test('the dashboard asks in the language of Prometheus', async (t) => {
  const dashboard = readFileSync('k8s/monitoring/dashboard.json', 'utf8');
  const queries = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)+")/g)].map(
    ([, text = '']) => JSON.parse(text) as string,
  );
  const folder = mkdtempSync(join(tmpdir(), 'dashboard-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'queries.yaml');
  const rules = queries.map((expr, panel) => ({ record: `panel:${panel}`, expr }));
  writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
  t.regex(
    await promtool(t, 'check', 'rules', file),
    new RegExp(`SUCCESS: ${queries.length} rules`),
  );
});

for (const { alert, file, tests } of alertCases()) {
  for (const { name } of tests) {
    test(`${alert} ${name}`, async (t) => {
      await promtool(t, 'test', 'rules', '--run', exactly(name), file);
      t.pass();
    });
  }
}

/** promtool takes regular expressions; a test that does not run is a success to it. */
function exactly(name: AlertCases['tests'][number]['name']): string {
  return `^${name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
}
