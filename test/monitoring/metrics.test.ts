import { readFileSync } from 'node:fs';
import test from 'ava';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { authzMetrics } from '../../src/processes/authz.js';
import type { AccessRecord } from '../../src/telemetry/access-log/access-record.js';
import { requestMetrics } from '../../src/telemetry/access-log/request-metrics.js';
import { AuthzGateway } from '../support/authz-gateway.js';
import { alertCases, readRules, type Rules } from './alert-cases.js';

const rules = readRules();
const alerts = rules.groups.flatMap((group) => group.rules);

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
