/** The answer to a command, in the form that was asked for. */
import { stringify } from 'yaml';
import { GatewayError } from '../model/errors.js';
import { renderJsonPath } from './json-path.js';

export const outputForms = ['table', 'wide', 'json', 'yaml', 'name'] as const;
/** Begins a form that goes on with a template. */
export const JSONPATH = 'jsonpath=';
export type OutputForm = (typeof outputForms)[number] | `${typeof JSONPATH}${string}`;

export interface Shown {
  /** Everything, for programs. */
  readonly value: unknown;
  /** Something is otherwise than it is to be: the command ends with exit code 1. */
  readonly differs?: boolean;
  /** `kind/name` of each thing that is shown; undefined: it has none. */
  readonly names?: readonly string[];
  /** For people; ends with a line break. */
  people(style: TableStyle): string;
}

export function isOutputForm(text: string): text is OutputForm {
  return outputForms.some((form) => form === text) || text.startsWith(JSONPATH);
}

/** `width`: of the terminal; undefined when it is written to none. */
export function renderShown(shown: Shown, form: OutputForm, width: number | undefined): string {
  switch (form) {
    case 'json':
      return `${JSON.stringify(shown.value, undefined, 2)}\n`;
    case 'yaml':
      return stringify(shown.value, { lineWidth: 0 });
    case 'table':
    case 'wide':
      return shown.people({ wide: form === 'wide', width });
    case 'name':
      if (shown.names) return shown.names.map((name) => `${name}\n`).join('');
      throw new GatewayError('ARGUMENT_INVALID', '-o name: what this command shows has no names');
    default:
      return renderJsonPath(form.slice(JSONPATH.length), shown.value);
  }
}

// Tables for people: aligned, one line for each row.

export interface Column<Row> {
  readonly title: string;
  value(row: Row): string;
  /** Shown in wide tables only. */
  readonly wide?: boolean;
}

export interface TableStyle {
  readonly wide: boolean;
  /** Characters in a line of the terminal; undefined: as many as are needed. */
  readonly width: number | undefined;
  /** Default true. */
  readonly headings?: boolean;
}

const GAP = '  ';

/** Without rows: `nothing`, a sentence. Ends with a line break. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { wide, width, headings = true }: TableStyle,
  nothing: string,
): string {
  if (rows.length === 0) return `${nothing}\n`;
  const shown = columns.filter((column) => wide || column.wide !== true);
  const cells = [
    ...(headings ? [shown.map(({ title }) => title)] : []),
    ...rows.map((row) => shown.map((column) => printable(column.value(row)) || '-')),
  ];
  const widths = shown.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)));
  return cells
    .map((line) => {
      const text = line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(GAP);
      return `${fitted(text.trimEnd(), width)}\n`;
    })
    .join('');
}

/** What comes from elsewhere may neither break the table nor talk to the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
}

function fitted(line: string, width: number | undefined): string {
  if (width === undefined || line.length <= width) return line;
  return `${line.slice(0, Math.max(0, width - 1))}…`;
}

// One thing for people: a line for each of its fields.

/** Fields without a value are left out. Ends with a line break. */
export function renderFields(fields: Readonly<Record<string, string | undefined>>): string {
  const shown = Object.entries(fields).filter(
    (field): field is [string, string] => field[1] !== undefined && field[1] !== '',
  );
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown
    .map(([name, value]) => `${`${name}:`.padEnd(width + 2)}${printable(value)}\n`)
    .join('');
}

// Spans of time as people read them.

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** The two largest units: `3d4h`, `12m5s`, `8s`. A clock that is behind shows `0s`. */
export function briefDuration(ms: number): string {
  let left = Math.max(0, ms);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(left / size);
    if (count === 0 && parts.length === 0) continue;
    if (count > 0) parts.push(`${count}${unit}`);
    left -= count * size;
    if (parts.length === 2 || (count === 0 && parts.length > 0)) break;
  }
  return parts.join('') || '0s';
}

/** How long ago `time` (RFC 3339) was. */
export function since(time: string, nowMs: number): string {
  return briefDuration(nowMs - Date.parse(time));
}
