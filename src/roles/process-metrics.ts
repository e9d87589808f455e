import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import { version } from './version.js';

/** What every role tells of its process: memory, CPU, event loop, and which release it is. */
export function processMetrics(registry: Registry, role: 'control-plane' | 'authz'): void {
  collectDefaultMetrics({ register: registry });
  const info = new Gauge({
    name: 'spark_gateway_build_info',
    help: 'Always 1; the release, and the Node.js that runs it.',
    labelNames: ['role', 'version', 'node'],
    registers: [registry],
  });
  info.set({ role, version: version(), node: process.version }, 1);
}
