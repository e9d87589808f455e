import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Registry } from 'prom-client';
import { stringify } from 'yaml';
import { systemClock } from '../../src/model/clock.js';
import { kubernetesMetrics } from '../../src/processes/kubernetes.js';
import { readRules } from '../monitoring/alert-cases.js';
import { RoleProcess } from '../support/role-process.js';
import { routingPolicy } from '../support/routing-policy.js';
import { unusedPort } from '../support/unused-port.js';

/** Names without the suffixes that a histogram's series have. */
function names(text: string): string[] {
  return [...text.matchAll(/spark_gateway_[a-z_]+/g)].map(([name]) =>
    name.replace(/_(bucket|count|sum)$/, ''),
  );
}

const at = (port: number) => `127.0.0.1:${port}`;

/** The names that a role tells Prometheus of, with or without series. */
async function scraped(port: number): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  return namesIn(await response.text());
}

function namesIn(metrics: string): string[] {
  return [...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? '');
}

test('every metric that an alert or the dashboard names is told by a control plane or an authz', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'monitoring-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [xds, assignments, admin, metrics] = await Promise.all([
    unusedPort(),
    unusedPort(),
    unusedPort(),
    unusedPort(),
  ]);
  const config = join(folder, 'gateway.yaml');
  const policy = routingPolicy({ source_networks: [{ name: 'lab', networks: ['192.0.2.0/24'] }] });
  writeFileSync(join(folder, 'policy.yaml'), stringify(policy));
  writeFileSync(join(folder, 'drivers.yaml'), stringify({ drivers: [] }));
  writeFileSync(
    config,
    stringify({
      policy_file: join(folder, 'policy.yaml'),
      state_dir: folder,
      drivers: { source: 'static', static_file: join(folder, 'drivers.yaml') },
      xds: {
        listen_addr: at(xds),
        connect_addr: at(xds),
        relay_addr: `unix:${join(folder, 'xds.sock')}`,
      },
      assignments: { listen_addr: at(assignments), connect_addr: at(assignments) },
      admin: { listen_addr: at(admin) },
      authz: { listen_addr: `unix:${join(folder, 'authz.sock')}`, metrics_addr: at(metrics) },
    }),
  );
  for (const role of ['control-plane', 'authz'] as const) {
    const logFile = join(folder, `${role}.log`);
    const running = new RoleProcess({ role, config, env: process.env, logFile });
    t.teardown(() => running.end());
    await running.says(`${role.replace('-', ' ')} runs`);
  }
  // Only a control plane with Kubernetes has these.
  const kubernetes = new Registry();
  kubernetesMetrics(kubernetes, systemClock);
  const known = new Set([
    ...(await scraped(admin)),
    ...(await scraped(metrics)),
    ...namesIn(await kubernetes.metrics()),
  ]);
  const named = [
    ...readRules().groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => names(expr))),
    ...names(readFileSync('k8s/monitoring/dashboard.json', 'utf8')),
  ];
  t.true(named.length > 20);
  t.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  );
});
