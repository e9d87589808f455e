/** Tables with a filter, an order and pages, all of which are in the address. */
import type { ComponentChildren } from 'preact';
import { setQuery } from './navigation.js';
import { count } from './format.js';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** What the order goes by; without it the column has none. */
  readonly order?: (row: Row) => string | number;
  readonly numeric?: boolean;
}

export interface TableProps<Row> {
  /** What the rows are, in the plural. */
  readonly name: string;
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly columns: readonly Column<Row>[];
  readonly query: URLSearchParams;
  /** What the filter looks into. */
  readonly text: (row: Row) => string;
  readonly empty: string;
}

/** More rows than this on one page make it slow. */
const PAGE_SIZE = 100;

export function Table<Row>(props: TableProps<Row>) {
  const { name, rows, keyOf, columns, query, text, empty } = props;
  const wanted = query.get('q') ?? '';
  const found = sorted(filtered(rows, wanted, text), columns, query.get('sort') ?? '');
  const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
  const page = Math.min(Math.max(1, Number(query.get('page')) || 1), pages);
  const shown = found.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  return (
    <div class="table">
      <div class="table-tools">
        <label class="filter">
          <span class="visually-hidden">Filter {name}</span>
          <input
            id="filter"
            type="search"
            placeholder="Filter  ( / )"
            autocomplete="off"
            spellcheck={false}
            value={wanted}
            onInput={(event) => setQuery({ q: event.currentTarget.value, page: '' })}
            onKeyDown={(event) => {
              if (event.key !== 'Escape') return;
              setQuery({ q: '', page: '' });
              event.currentTarget.blur();
            }}
          />
        </label>
        <p class="count">
          {found.length === rows.length
            ? `${count(rows.length, '', '').trim()} ${name}`
            : `${found.length.toLocaleString('en')} of ${rows.length.toLocaleString('en')} ${name}`}
        </p>
        {pages > 1 ? <Pages page={page} pages={pages} /> : null}
      </div>
      <PlainTable
        label={name}
        rows={shown}
        keyOf={keyOf}
        columns={columns}
        sort={query.get('sort') ?? ''}
        empty={rows.length === 0 ? empty : `No ${name} fit the filter.`}
      />
    </div>
  );
}

interface PlainTableProps<Row> {
  readonly label: string;
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly columns: readonly Column<Row>[];
  /** undefined: the order is fixed. */
  readonly sort?: string;
  readonly empty: string;
}

export function PlainTable<Row>({
  label,
  rows,
  keyOf,
  columns,
  sort,
  empty,
}: PlainTableProps<Row>) {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((column, at) => (
              <Heading key={column.title} column={column} first={at === 0} sort={sort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, cell, numeric }) => (
                <td key={title} class={numeric ? 'number' : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Heading<Row>({
  column: { title, order, numeric },
  sort,
}: {
  readonly column: Column<Row>;
  readonly first: boolean;
  readonly sort: string | undefined;
}) {
  const style = numeric ? 'number' : undefined;
  if (!order || sort === undefined) {
    return (
      <th scope="col" class={style}>
        {title}
      </th>
    );
  }
  const state = sort === title ? 'ascending' : sort === `-${title}` ? 'descending' : 'none';
  const next = state === 'none' ? title : state === 'ascending' ? `-${title}` : '';
  return (
    <th scope="col" class={style} aria-sort={state}>
      <button type="button" class="sort" onClick={() => setQuery({ sort: next, page: '' })}>
        {title}
        <span aria-hidden="true">{{ ascending: ' ▲', descending: ' ▼', none: '' }[state]}</span>
      </button>
    </th>
  );
}

function Pages({ page, pages }: { readonly page: number; readonly pages: number }) {
  return (
    <nav class="pages" aria-label="Pages">
      <button type="button" disabled={page === 1} onClick={() => toPage(page - 1)}>
        Previous
      </button>
      <span>
        {page} of {pages}
      </span>
      <button type="button" disabled={page === pages} onClick={() => toPage(page + 1)}>
        Next
      </button>
    </nav>
  );
}

function toPage(page: number): void {
  setQuery({ page: page === 1 ? '' : `${page}` });
}

/** Every word must occur. */
function filtered<Row>(
  rows: readonly Row[],
  wanted: string,
  text: (row: Row) => string,
): readonly Row[] {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => {
    const within = text(row).toLowerCase();
    return words.every((word) => within.includes(word));
  });
}

function sorted<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  sort: string,
): readonly Row[] {
  const title = sort.replace(/^-/, '');
  const order = columns.find((column) => column.title === title)?.order;
  if (!order) return rows;
  const sign = sort.startsWith('-') ? -1 : 1;
  return rows.toSorted((one, other) => {
    const [a, b] = [order(one), order(other)];
    return a < b ? -sign : a > b ? sign : 0;
  });
}
