/** JSON as the tree that YAML is read into; places are paths, such as `spec.access[3].what`. */
import type { YamlEntry, YamlValue } from './tree.js';

/** `path`: of the value itself. Numbers and truth values become text: their type is what their place asks for. */
export function fromJson(value: unknown, path: string): YamlValue {
  const place = { source: path };
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index) => fromJson(item, `${path}[${index}]`));
    return { kind: 'list', items, place };
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]: [string, unknown]): YamlEntry => {
      const at = /^\w+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
      return { key, place: { source: at }, value: fromJson(item, at) };
    });
    return { kind: 'map', entries, place };
  }
  if (typeof value === 'string') return { kind: 'text', text: value, place };
  if (typeof value === 'number' || typeof value === 'boolean') {
    return { kind: 'text', text: String(value), place };
  }
  return { kind: 'nothing', place };
}
