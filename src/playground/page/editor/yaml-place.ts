/**
 * Where in a YAML document somebody writes: told from the indentation of its lines, so that it works
 * while the document is not valid. Of flow style (`{a: 1}`) nothing is known.
 */

export interface YamlPlace {
  /** A key of the map that is said by `path`, or its value: the last of `path` is its key then. */
  readonly kind: 'key' | 'value';
  /** Names of keys from the top; `-` stands for an item of a list. */
  readonly path: readonly string[];
  /** Where the word begins that is being written, an offset. */
  readonly from: number;
  /** Keys that the map has in other lines. */
  readonly siblings: readonly string[];
  /** Of the key, counted from 0. */
  readonly column: number;
}

interface Line {
  /** The offset of its beginning. */
  readonly start: number;
  readonly text: string;
  /** Columns of the dashes that begin it. */
  readonly dashes: readonly number[];
  /** Where what follows the dashes begins. */
  readonly column: number;
  /** undefined: it has no key. */
  readonly key: string | undefined;
}

interface Open {
  readonly column: number;
  readonly name: string;
}

/** undefined: nothing can be said of it: a comment, the text of a block, flow style. */
export function placeAt(text: string, offset: number): YamlPlace | undefined {
  const { lines, at } = linesUntil(text, offset);
  const line = lines[at];
  if (!line) return undefined;
  const before = line.text.slice(0, offset - line.start);
  if (/(^|\s)#/.test(before)) return undefined;
  const open = lines.slice(0, at).reduce(opened, [] as readonly Open[]);
  const written = /^([\w.-]+|"[^"]*"|'[^']*')\s*:\s+/.exec(before.slice(line.column));
  const siblings = siblingsOf(lines, at);
  if (written) {
    const value = before.slice(line.column + written[0].length);
    if (/^[[{&*!|>]/.test(value)) return undefined;
    return {
      kind: 'value',
      path: [...names(underneath(open, line)), unquoted(written[1] ?? '')],
      from: offset - value.length,
      siblings,
      column: line.column,
    };
  }
  const word = before.slice(Math.min(line.column, before.length));
  if (!/^[\w.-]*$/.test(word)) return undefined;
  return {
    kind: 'key',
    path: names(underneath(open, line)),
    from: offset - word.length,
    siblings,
    column: Math.min(line.column, before.length),
  };
}

/** The key at an offset, with what leads to it. */
export function keyAt(
  text: string,
  offset: number,
): { readonly path: readonly string[]; readonly from: number; readonly to: number } | undefined {
  const { lines, at } = linesUntil(text, offset);
  const line = lines[at];
  if (line?.key === undefined) return undefined;
  const from = line.start + line.column;
  const to = from + line.key.length;
  if (offset < from || offset > to) return undefined;
  const open = lines.slice(0, at).reduce(opened, [] as readonly Open[]);
  return { path: [...names(underneath(open, line)), line.key], from, to };
}

/** Lines that hold structure. `at`: the one that the offset is in; -1: it is within the text of a block. */
function linesUntil(
  text: string,
  offset: number,
): { readonly lines: readonly Line[]; readonly at: number } {
  const lines: Line[] = [];
  let at = -1;
  let start = 0;
  let blockColumn: number | undefined;
  for (const raw of text.split('\n')) {
    const isHere = offset >= start && offset <= start + raw.length;
    const line = lineOf(raw, start);
    start += raw.length + 1;
    const isEmpty = raw.trim() === '';
    const cursorColumn = isEmpty && isHere ? offset - line.start : (line.dashes[0] ?? line.column);
    if (blockColumn !== undefined) {
      if ((isEmpty && !isHere) || cursorColumn > blockColumn) continue;
      blockColumn = undefined;
    }
    if (isHere) at = lines.length;
    if (isHere || !(isEmpty || raw.trimStart().startsWith('#'))) {
      lines.push(isEmpty ? { ...line, column: offset - line.start } : line);
    }
    // The text of a block is deeper than the key, or the dash, that it belongs to.
    if (/[:-]\s+[|>][+\-\d]*\s*(#.*)?$/.test(raw)) {
      blockColumn = line.key === undefined ? line.dashes.at(-1) : line.column;
    }
  }
  return { lines, at };
}

function lineOf(text: string, start: number): Line {
  const dashes: number[] = [];
  let column = text.length - text.trimStart().length;
  while (/^-(\s|$)/.test(text.slice(column))) {
    dashes.push(column);
    const rest = text.slice(column + 1);
    column += 1 + (rest.length - rest.trimStart().length);
  }
  const key = /^([\w.-]+|"[^"]*"|'[^']*')\s*:(\s|$)/.exec(text.slice(column))?.[1];
  return { start, text, dashes, column, key: key === undefined ? undefined : unquoted(key) };
}

/** What is open behind a line, from the outermost. */
function opened(open: readonly Open[], line: Line): readonly Open[] {
  const around = underneath(open, line);
  return line.key === undefined ? around : [...around, { column: line.column, name: line.key }];
}

/** What a line stands in, with the items that it begins. */
function underneath(open: readonly Open[], { dashes, column }: Line): readonly Open[] {
  let around = open;
  for (const dash of dashes) {
    // A list may be as far left as the key that it belongs to.
    around = [
      ...around.filter((one) => one.column < dash || (one.column === dash && one.name !== '-')),
      { column: dash, name: '-' },
    ];
  }
  return around.filter((one) => one.column < column);
}

function names(open: readonly Open[]): readonly string[] {
  return open.map(({ name }) => name);
}

/** Keys of the same map in lines around this one. */
function siblingsOf(lines: readonly Line[], at: number): readonly string[] {
  const here = lines[at];
  if (!here) return [];
  const before = here.dashes.length > 0 ? [] : lines.slice(0, at).toReversed();
  return [...keysOf(before, here.column, true), ...keysOf(lines.slice(at + 1), here.column, false)];
}

/** @param upwards the first line of an item is the last one of it that is seen, and has a key, too */
function keysOf(lines: readonly Line[], column: number, upwards: boolean): readonly string[] {
  const end = lines.findIndex((line) => (line.dashes[0] ?? line.column) < column);
  const within = end < 0 ? lines : lines.slice(0, end + (upwards ? 1 : 0));
  return within.flatMap((line) =>
    line.column === column && line.key !== undefined ? [line.key] : [],
  );
}

function unquoted(key: string): string {
  return /^["']/.test(key) ? key.slice(1, -1) : key;
}
