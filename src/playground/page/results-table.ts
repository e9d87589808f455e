/** Results as a person reads them, and as files. */
import { isObject } from '../../model/json.js';
import type { PreviewView } from '../../model/playground-api.js';

export interface ResultColumn {
  readonly name: string;
  /** As SQL writes it; empty: not known. */
  readonly type: string;
  readonly nullable: boolean;
  readonly numeric: boolean;
}

const NUMERIC = /^(byte|short|integer|long|float|double|decimal(\(.*\))?)$/;
const SQL_NAMES: Readonly<Record<string, string>> = {
  byte: 'tinyint',
  short: 'smallint',
  integer: 'int',
  long: 'bigint',
};

/** @param schema as Spark's StructType.json() writes it */
export function resultColumns(
  preview: PreviewView | null,
  schema: unknown,
): readonly ResultColumn[] {
  const fields = isObject(schema) && Array.isArray(schema['fields']) ? schema['fields'] : [];
  const names = preview?.columns ?? fields.map((field) => nameOf(field));
  return names.map((name, at): ResultColumn => {
    const field: unknown = fields[at];
    const type = isObject(field) && nameOf(field) === name ? field['type'] : undefined;
    return {
      name,
      type: type === undefined ? '' : typeName(type),
      nullable: !isObject(field) || field['nullable'] !== false,
      numeric: typeof type === 'string' && NUMERIC.test(type),
    };
  });
}

function nameOf(field: unknown): string {
  return isObject(field) ? String(field['name']) : '';
}

function typeName(type: unknown): string {
  if (typeof type === 'string') return SQL_NAMES[type] ?? type;
  if (!isObject(type)) return '';
  switch (type['type']) {
    case 'array':
      return `array<${typeName(type['elementType'])}>`;
    case 'map':
      return `map<${typeName(type['keyType'])}, ${typeName(type['valueType'])}>`;
    case 'struct': {
      const fields = Array.isArray(type['fields']) ? type['fields'] : [];
      const parts = fields.map((field: unknown) =>
        isObject(field) ? `${nameOf(field)}: ${typeName(field['type'])}` : '',
      );
      return `struct<${parts.join(', ')}>`;
    }
    default:
      return typeof type['type'] === 'string' ? type['type'] : '';
  }
}

/** One value as text; null is not among them. */
export function cellText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const NUMBER = /^[+-]?\d+(\.\d+)?(E[+-]?\d+)?$/i;

/**
 * RFC 4180. Text that a spreadsheet would take for a formula gets an apostrophe before it
 * (https://owasp.org/www-community/attacks/CSV_Injection); a file of JSON has it as it is.
 */
export function asCsv({ columns, rows }: PreviewView): string {
  const lines = [columns, ...rows.map((row) => columns.map((_, at) => row[at]))];
  return lines.map((line) => `${line.map(csvCell).join(',')}\r\n`).join('');
}

/** Nothing at all for null; text that is empty is in quotes. */
function csvCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = cellText(value);
  const safe = /^[=+\-@\t\r]/.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe === '' ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** With columns and rows apart: names of columns may be the same. */
export function asJson(preview: PreviewView, schema: unknown): string {
  const { columns, rows, truncated = false } = preview;
  return `${JSON.stringify({ columns, schema, rows, truncated }, undefined, 1)}\n`;
}
