import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Registry } from 'prom-client';
import { parse, stringify } from 'yaml';
import { systemClock } from '../../src/model/clock.js';
import { authzMetrics } from '../../src/processes/authz.js';
import { kubernetesMetrics } from '../../src/processes/kubernetes.js';
import type { AccessRecord } from '../../src/telemetry/access-log/access-record.js';
import { requestMetrics } from '../../src/telemetry/access-log/request-metrics.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { RoleProcess } from '../support/role-process.js';
import { routingPolicy } from '../support/routing-policy.js';
import { unusedPort } from '../support/unused-port.js';
import { alertCases } from './alert-cases.js';

// Names.

interface Alert {
  readonly alert: string;
  readonly expr: string;
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly Alert[] }[];
}

const rules = parse(readFileSync('k8s/monitoring/alerts.yaml', 'utf8')) as Rules;
const alerts = rules.groups.flatMap((group) => group.rules);

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
    ...alerts.flatMap(({ expr }) => names(expr)),
    ...names(readFileSync('k8s/monitoring/dashboard.json', 'utf8')),
  ];
  t.true(named.length > 20);
  t.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  );
});

test('every alert has its section in docs/OPERATIONS.md, and every section its alert', (t) => {
  const sections = readFileSync('docs/OPERATIONS.md', 'utf8').matchAll(/^### (SparkGateway\w+)$/gm);
  t.deepEqual(
    [...sections].map(([, name]) => name ?? ''),
    alerts.map(({ alert }) => alert),
  );
});

test('every alert has cases for promtool in which it comes to fire, and one in which it stays silent', (t) => {
  const cases = alertCases();
  t.deepEqual(
    cases.map(({ alert }) => alert),
    alerts.map(({ alert }) => alert).toSorted(),
  );
  for (const { alert, tests } of cases) {
    const fires = tests.map(({ alert_rule_test: evaluations }) =>
      evaluations.map(({ alertname, exp_alerts: expected }) => {
        t.is(alertname, alert);
        return expected.length > 0;
      }),
    );
    t.true(
      fires.some((outcomes) => outcomes[0] === false && outcomes.at(-1) === true),
      alert,
    );
    t.true(
      fires.some((outcomes) => outcomes.every((fired) => !fired)),
      alert,
    );
    t.is(new Set(tests.map(({ name }) => name)).size, tests.length, alert);
  }
});

test('the Prometheus operator gets the same rules', (t) => {
  const wrapped = parse(readFileSync('k8s/monitoring/prometheus-rule.yaml', 'utf8')) as {
    readonly spec: Rules;
  };
  t.deepEqual(wrapped.spec, rules);
});

// However many names refused callers invent, Prometheus is not given more series.

const CALLERS = 20;

/** Series without their values. */
async function series(registry: Registry): Promise<string[]> {
  const lines = (await registry.metrics()).split('\n').filter((line) => !line.startsWith('#'));
  return lines.map((line) => line.slice(0, line.lastIndexOf(' '))).toSorted();
}

test('authz: teams, environments, principals, issuers and methods of callers that are refused', async (t) => {
  const registry = new Registry();
  const gateway = await AuthzGateway.start({}, { metrics: authzMetrics(registry) });
  t.teardown(() => gateway.close());
  const refuseEach = async (name: string) => {
    const token = await gateway.token({ sub: name, email: `${name}@example.com` });
    const target = { 'x-doordash-team': name, 'x-doordash-environment': name };
    const [head = '', , signature = ''] = token.split('.');
    const claims = Buffer.from(JSON.stringify({ iss: `https://${name}.example.com` }));
    const checks = [
      gateway.client.check({ token, headers: target }),
      gateway.client.check({
        token: [head, claims.toString('base64url'), signature].join('.'),
        headers: target,
      }),
      gateway.client.check({ token, headers: target, method: name }),
    ];
    for (const { status } of await Promise.all(checks)) t.not(status?.code, 0);
  };
  await refuseEach('first');
  const before = await series(registry);
  t.true(before.length > 0);
  for (let caller = 0; caller < CALLERS; caller += 1) await refuseEach(`caller-${caller}`);
  t.deepEqual(await series(registry), before);
});

function refused(name: string): AccessRecord {
  return {
    kind: 'ended',
    requestId: name,
    envoy: 'envoy-1',
    startedAtMs: 0,
    durationMs: 3,
    method: 'other',
    session: name,
    principal: name,
    issuer: name,
    team: name,
    environment: name,
    namespace: name,
    driver: undefined,
    claimedUser: name,
    comesBack: undefined,
    sessionClosed: undefined,
    refusal: 'NAMESPACE_REFUSED',
    grpcStatus: 7,
    details: 'ext_authz_denied',
    bytesReceived: 1,
    bytesSent: 1,
    client: undefined,
    traceId: undefined,
    connection: undefined,
  };
}

test('control plane: whatever the access log of refused requests names', async (t) => {
  const registry = new Registry();
  const metrics = requestMetrics(registry);
  metrics.observe(refused('first'));
  const before = await series(registry);
  for (let caller = 0; caller < CALLERS; caller += 1) metrics.observe(refused(`caller-${caller}`));
  t.deepEqual(await series(registry), before);
});
