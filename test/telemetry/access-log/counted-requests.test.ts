import test from 'ava';
import { Registry } from 'prom-client';
import type { EnvoyCounts } from '../../../src/model/envoy-counts.js';
import { CountedRequests } from '../../../src/telemetry/access-log/counted-requests.js';
import { requestMetrics } from '../../../src/telemetry/access-log/request-metrics.js';

const counts = (succeeded: number, buckets: number[], totalMs: number): EnvoyCounts => ({
  namespace: 'sjns-data-dev',
  method: 'ReleaseExecute',
  succeeded,
  buckets,
  totalMs,
});

test('what a sidecar tells is taken once, whoever was told before; another Envoy begins again', (t) => {
  const counted = new CountedRequests();
  t.deepEqual(counted.since('a', [counts(100, [60, 40], 500)]), [], 'from another control plane');
  t.deepEqual(counted.since('a', [counts(110, [65, 45], 540)]), [counts(10, [5, 5], 40)]);
  t.deepEqual(counted.since('a', [counts(110, [65, 45], 540)]), [counts(0, [0, 0], 0)]);
  t.deepEqual(counted.since('a', [counts(3, [3, 0], 2)]), [counts(3, [3, 0], 2)], 'another Envoy');
  t.deepEqual(counted.since('b', [counts(7, [7, 0], 7)]), []);
  const further = { ...counts(2, [2], 1), namespace: 'sjns-ads-dev' };
  t.deepEqual(counted.since('b', [counts(7, [7, 0], 7), further])[1], further, 'new since then');
});

test('they are part of the metrics of requests', async (t) => {
  const registry = new Registry();
  const metrics = requestMetrics(registry);
  const one = { team: 'data', environment: 'dev' };
  metrics.counted(counts(5, [4, 1], 30), one);
  metrics.counted(counts(2, [2, 0], 4), one);
  const text = await registry.metrics();
  const of = '{method="ReleaseExecute",team="data",environment="dev"';
  t.true(text.includes(`spark_gateway_request_success_total${of}} 7`), text);
  t.true(text.includes(`spark_gateway_request_duration_seconds_count${of}} 7`));
  t.true(text.includes(`spark_gateway_request_duration_seconds_sum${of}} 0.034`));
});
