import { readFileSync } from 'node:fs';
import test from 'ava';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { requestMetrics } from '../../src/access-log/metrics.js';
import { auditMetrics } from '../../src/audit/metrics.js';
import { assignmentMetrics } from '../../src/roles/assignment-metrics.js';
import { authzMetrics } from '../../src/roles/authz-metrics.js';
import {
  controlPlaneMetrics,
  type ControlPlaneSources,
} from '../../src/roles/control-plane-metrics.js';

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

test('every metric that an alert or the dashboard names exists', (t) => {
  const registry = new Registry();
  requestMetrics(registry);
  auditMetrics(registry);
  assignmentMetrics(registry);
  controlPlaneMetrics(registry, {} as ControlPlaneSources);
  const sidecar = new Registry();
  authzMetrics(sidecar);
  const known = new Set(
    [...registry.getMetricsAsArray(), ...sidecar.getMetricsAsArray()].map(({ name }) => name),
  );
  // Made by src/roles/problems.ts with the board that it shows.
  known.add('spark_gateway_problems');
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

test('the Prometheus operator gets the same rules', (t) => {
  const wrapped = parse(readFileSync('k8s/monitoring/prometheus-rule.yaml', 'utf8')) as {
    readonly spec: Rules;
  };
  t.deepEqual(wrapped.spec, rules);
});
