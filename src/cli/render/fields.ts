/** One thing for people: a line for each of its fields. */
import { printable } from './table.js';

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
