import { Gauge, type Registry } from 'prom-client';
import type { PolicySource } from '../policy/last-good.js';

/** Which policy this process decides by, and whether the last change was good. */
export function policyMetrics(registry: Registry, policy: Pick<PolicySource, 'status'>): void {
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_policy_info',
      help: 'Always 1; the version in force. Only the one series, so that changes do not add up.',
      labelNames: ['version'],
      registers: [],
      collect() {
        this.reset();
        this.set({ version: policy.status.version }, 1);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_policy_last_reload_success_timestamp_seconds',
      help: 'When the policy in force was read.',
      registers: [],
      collect() {
        this.set(policy.status.loadedAtMs / 1000);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_policy_bad',
      help: 'Whether the policy as it is written now is not good, so that the last good one decides (1).',
      registers: [],
      collect() {
        this.set(policy.status.error === undefined ? 0 : 1);
      },
    }),
  );
}
