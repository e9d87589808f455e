import test from 'ava';
import { Registry } from 'prom-client';
import type { AccessRecord } from '../../../src/telemetry/access-log/access-record.js';
import { requestMetrics } from '../../../src/telemetry/access-log/request-metrics.js';

const ended: AccessRecord = {
  kind: 'ended',
  requestId: '1',
  envoy: 'envoy-1',
  startedAtMs: 0,
  durationMs: 20,
  method: 'ExecutePlan',
  session: undefined,
  principal: 'ann',
  issuer: undefined,
  team: 'data',
  environment: 'dev',
  namespace: undefined,
  driver: undefined,
  claimedUser: undefined,
  comesBack: undefined,
  refusal: undefined,
  sessionClosed: undefined,
  grpcStatus: 0,
  details: '',
  bytesReceived: 0,
  bytesSent: 0,
  client: undefined,
  connection: undefined,
  traceId: undefined,
};

test('Prometheus is told of counts and times by method, team and environment, each bucket with those below it', async (t) => {
  const registry = new Registry();
  const metrics = requestMetrics(registry);
  metrics.observe(ended);
  metrics.observe({ ...ended, durationMs: 5 });
  metrics.observe({ ...ended, durationMs: 400_000, grpcStatus: 14 });
  metrics.observe({ ...ended, grpcStatus: undefined, durationMs: undefined });
  metrics.observe({ ...ended, kind: 'running' });
  const of = 'method="ExecutePlan",team="data",environment="dev"';
  const text = await registry.metrics();
  const value = (name: string, labels: string) =>
    text
      .split('\n')
      .find(
        (line) =>
          line.startsWith(`${name}{`) && labels.split(',').every((one) => line.includes(one)),
      )
      ?.split(' ')
      .at(-1);
  const duration = 'spark_gateway_request_duration_seconds';
  t.is(value(`${duration}_bucket`, `le="0.005",${of}`), '1');
  t.is(value(`${duration}_bucket`, `le="0.025",${of}`), '2');
  t.is(value(`${duration}_bucket`, `le="300",${of}`), '2');
  t.is(value(`${duration}_bucket`, `le="+Inf",${of}`), '3');
  t.is(value(`${duration}_count`, of), '3');
  t.is(value(`${duration}_sum`, of), '400.025');
  t.is(value('spark_gateway_request_success_total', of), '2');
  t.is(value('spark_gateway_request_errors_total', `${of},grpc_status="14"`), '1');
  t.is(value('spark_gateway_request_errors_total', `${of},grpc_status="none"`), '1');
  t.is(await registry.metrics(), text, 'to be asked changes nothing');
});
