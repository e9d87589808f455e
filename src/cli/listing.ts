/** Lists as kubectl's users know them: chosen with -l, in an order, with or without headings, by name. */
import { GatewayError } from '../model/errors.js';
import { valueAt } from './json-path.js';
import { type Shown, type Column, renderTable, type TableStyle } from './render.js';
import type { OnlineContext } from './command.js';
import { parseSelector } from './selector.js';

export interface Listing<Row extends object> {
  /** Of one row, for `-o name`. */
  readonly kind: string;
  readonly rows: readonly Row[];
  readonly nameOf: (row: Row) => string;
  readonly columns: (rows: readonly Row[], style: TableStyle) => readonly Column<Row>[];
  /** Said when there is no row. */
  readonly nothing: string;
  /** What stands below the table. */
  readonly below?: (rows: readonly Row[]) => string;
}

export function shownListing<Row extends object>(
  { options }: Pick<OnlineContext, 'options'>,
  listing: Listing<Row>,
): Shown {
  const { kind, nothing, nameOf, columns, below = () => '' } = listing;
  const selector = options.get('selector');
  const chosen =
    selector === undefined ? listing.rows : listing.rows.filter(parseSelector(selector));
  const rows = sorted(chosen, options.get('sort-by'));
  return {
    value: rows,
    names: rows.map((row) => `${kind}/${nameOf(row)}`),
    people(style) {
      const headings = !options.has('no-headers');
      const table = { ...style, headings };
      if (rows.length === 0 && !headings) return '';
      return renderTable(columns(rows, style), rows, table, nothing) + below(rows);
    },
  };
}

function sorted<Row extends object>(
  rows: readonly Row[],
  path: string | undefined,
): readonly Row[] {
  if (path === undefined) return rows;
  const keyed = rows.map((row) => ({ row, key: valueAt(path, row) }));
  if (rows.length > 0 && keyed.every(({ key }) => key === undefined)) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `--sort-by ${path}: no row has it; write a field of the JSON form such as .createdAt`,
    );
  }
  return keyed.toSorted((a, b) => compare(a.key, b.key)).map(({ row }) => row);
}

/** Those without a value come first, as with kubectl. */
function compare(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [one, other] = [JSON.stringify(a), JSON.stringify(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}
