/** Tables for people: aligned, one line for each row. */

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
}

const GAP = '  ';

/** Without rows: `nothing`, a sentence. Ends with a line break. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { wide, width }: TableStyle,
  nothing: string,
): string {
  if (rows.length === 0) return `${nothing}\n`;
  const shown = columns.filter((column) => wide || column.wide !== true);
  const cells = [
    shown.map(({ title }) => title),
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
