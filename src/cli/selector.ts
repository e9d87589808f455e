/**
 * Which rows are meant, written as kubectl's label selectors are:
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
import { GatewayError } from '../model/errors.js';

type Fields = Readonly<Record<string, string>>;
type Requirement = (fields: Fields) => boolean;

const KEY = '[A-Za-z][\\w.-]*';
const SET = new RegExp(`^(${KEY}) (in|notin) \\(([^()]*)\\)$`);
const EQUALITY = new RegExp(`^(${KEY}) ?(==|=|!=) ?(.*)$`);
const PRESENCE = new RegExp(`^(!?) ?(${KEY})$`);

/** @throws GatewayError ARGUMENT_INVALID */
export function parseSelector(written: string): (row: object) => boolean {
  // Commas within parentheses are between values.
  const parts = written.split(/,(?![^(]*\))/).map((part) => part.replaceAll(/\s+/g, ' ').trim());
  const requirements = parts.map((part) => requirementOf(part, written));
  return (row) => {
    const fields = fieldsOf(row);
    return requirements.every((holds) => holds(fields));
  };
}

function requirementOf(part: string, written: string): Requirement {
  const [, setKey = '', operator, list = ''] = SET.exec(part) ?? [];
  if (operator !== undefined) {
    const values = list.split(',').map((value) => value.trim());
    return (fields) => isOneOf(fields, setKey, values) === (operator === 'in');
  }
  const [, key = '', comparison, value = ''] = EQUALITY.exec(part) ?? [];
  if (comparison !== undefined) {
    return (fields) => isOneOf(fields, key, [value]) === (comparison !== '!=');
  }
  const [found, not, name = ''] = PRESENCE.exec(part) ?? [];
  if (found !== undefined) return (fields) => Object.hasOwn(fields, name) === (not === '');
  throw new GatewayError(
    'ARGUMENT_INVALID',
    `-l ${written}: ${JSON.stringify(part)} is no requirement; write team=data, phase!=gone, "phase in (warming,draining)", outdated or !outdated, with commas between`,
  );
}

function isOneOf(fields: Fields, key: string, values: readonly string[]): boolean {
  const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
  return value !== undefined && values.includes(value);
}

/** What has one value, by the name that the JSON form gives it; people and services by their subject. */
export function fieldsOf(row: object): Fields {
  const fields: Record<string, string> = {};
  for (const [name, value] of Object.entries(row) as readonly (readonly [string, unknown])[]) {
    const told = textOf(value);
    if (told !== undefined) fields[name] = told;
  }
  return fields;
}

function textOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'boolean':
      return String(value);
    case 'object': {
      if (value === null) return undefined;
      if ('subject' in value) return textOf(value.subject);
      return 'principal' in value ? textOf(value.principal) : undefined;
    }
    default:
      return undefined;
  }
}
