/** What a policy says of a namespace, as flat text that can be compared. */
import type { Policy } from '../model/policy.js';
import { formatSize } from '../yaml/units.js';

/** By the policy's words, such as `pool.sessions_per_driver`; what is not limited is left out. */
export function namespaceFields(policy: Policy, namespace: string): ReadonlyMap<string, string> {
  const { schedule, ...pool } = policy.pool(namespace) ?? {};
  const fields = new Map<string, string>();
  collect(fields, 'pool', { ...pool, ...(schedule && { schedule: schedule.times }) });
  collect(fields, 'quotas', policy.quotas(namespace));
  collect(fields, 'rate_limits', policy.rateLimits?.(namespace));
  collect(fields, 'limits', policy.limits?.(namespace));
  if (policy.warmNamespaces.includes(namespace)) fields.set('warm', 'yes');
  return fields;
}

function collect(fields: Map<string, string>, name: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (Array.isArray(value)) {
    if (value.length > 0) fields.set(name, JSON.stringify(value));
  } else if (typeof value === 'object') {
    for (const [key, part] of Object.entries(value)) {
      const { field, shown } = withUnit(key, part);
      collect(fields, `${name}.${snakeCase(field)}`, shown);
    }
  } else if (typeof value !== 'function') {
    fields.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  }
}

/** As the policy has it: without the unit in its name, and with the unit in its value. */
function withUnit(
  key: string,
  value: unknown,
): { readonly field: string; readonly shown: unknown } {
  if (typeof value === 'number') {
    if (key.endsWith('Ms')) return { field: key.slice(0, -2), shown: `${value / 1000}s` };
    if (key.endsWith('Bytes')) return { field: key.slice(0, -5), shown: formatSize(value) };
  }
  return { field: key, shown: value };
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
