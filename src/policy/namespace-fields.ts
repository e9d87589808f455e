/** What a policy says of a namespace, as flat text that can be compared. */
import type { Policy } from '../model/policy.js';

/** By the policy's words, such as `pool.sessions_per_driver`; what is not limited is left out. */
export function namespaceFields(policy: Policy, namespace: string): ReadonlyMap<string, string> {
  const { schedule, ...pool } = policy.pool(namespace) ?? {};
  const fields = new Map<string, string>();
  collect(fields, 'pool', { ...pool, ...(schedule && { schedule: schedule.times }) });
  collect(fields, 'quotas', policy.quotas(namespace));
  collect(fields, 'rate_limits', policy.rateLimits?.(namespace));
  if (policy.warmNamespaces.includes(namespace)) fields.set('warm', 'yes');
  return fields;
}

function collect(fields: Map<string, string>, name: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (Array.isArray(value)) {
    if (value.length > 0) fields.set(name, JSON.stringify(value));
  } else if (typeof value === 'object') {
    for (const [key, part] of Object.entries(value)) {
      const isDuration = key.endsWith('Ms') && typeof part === 'number';
      const plain = isDuration ? key.slice(0, -2) : key;
      collect(fields, `${name}.${snakeCase(plain)}`, isDuration ? `${part / 1000}s` : part);
    }
  } else if (typeof value !== 'function') {
    fields.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  }
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
