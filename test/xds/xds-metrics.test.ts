import test from 'ava';
import { Registry } from 'prom-client';
import { xdsMetrics } from '../../src/xds/xds-metrics.js';
import { TypeUrl } from '../../src/xds/resource.js';

test('sizes of responses and the time to their ACK are distributions, by type', async (t) => {
  const registry = new Registry();
  const metrics = xdsMetrics(registry);
  metrics.pushed(TypeUrl.CLUSTER, 3000);
  metrics.pushed(TypeUrl.CLUSTER, 3_000_000);
  metrics.acknowledged(TypeUrl.CLUSTER, 40);
  metrics.rejected(TypeUrl.CLUSTER);
  const lines = (await registry.metrics()).split('\n');
  for (const line of [
    'spark_gateway_xds_push_size_bytes_bucket{le="4096",type="Cluster"} 1',
    'spark_gateway_xds_push_size_bytes_sum{type="Cluster"} 3003000',
    'spark_gateway_xds_push_size_bytes_count{type="Cluster"} 2',
    'spark_gateway_xds_ack_duration_seconds_bucket{le="0.025",type="Cluster"} 0',
    'spark_gateway_xds_ack_duration_seconds_bucket{le="0.05",type="Cluster"} 1',
    'spark_gateway_xds_nacks_total{type="Cluster"} 1',
  ]) {
    t.true(lines.includes(line), line);
  }
});

test('a first rejection is a rise, as there was a zero before it', async (t) => {
  const registry = new Registry();
  xdsMetrics(registry);
  t.true((await registry.metrics()).includes('spark_gateway_xds_nacks_total{type="Listener"} 0'));
});
