/** Mistakes in what a person wrote, and where. */

/** Where a value was written: a place in a file, or something else that has a name. */
export interface Place {
  /** A file's name as the person gave it, or such as `environment variable SPARK_GATEWAY_LOG_LEVEL`. */
  readonly source: string;
  /** From 1; absent where the source is no file. */
  readonly line?: number;
  readonly column?: number;
  /** Such as `spec.sinks[0].mode`, of a document that was parsed in detail. */
  readonly path?: string;
}

export interface Problem {
  readonly place: Place;
  /** What is wrong and what is allowed. */
  readonly message: string;
}

function formatPlace({ source, line, column }: Place): string {
  if (line === undefined) return source;
  return column === undefined ? `${source}:${line}` : `${source}:${line}:${column}`;
}

/** One line for each problem, in the order in which they stand in their sources. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems
    .toSorted(
      (a, b) =>
        a.place.source.localeCompare(b.place.source) ||
        (a.place.line ?? 0) - (b.place.line ?? 0) ||
        (a.place.column ?? 0) - (b.place.column ?? 0),
    )
    .map(({ place, message }) => `${formatPlace(place)}: ${message}`)
    .join('\n');
}

/** What a person wrote, quoted for a message: shortened, and on one line. */
export function quote(text: string, longest = 80): string {
  return JSON.stringify(text.length <= longest ? text : `${text.slice(0, longest)}…`);
}

/** The known name that a mistyped one most likely stands for, or undefined if none is near. */
export function suggest(mistyped: string, known: Iterable<string>): string | undefined {
  const wanted = plain(mistyped);
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const name of known) {
    const other = plain(name);
    if (Math.abs(wanted.length - other.length) >= least) continue;
    const distance = editDistance(wanted, other);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

/** `; did you mean "x"?` or nothing, to be put behind a message. */
export function didYouMean(mistyped: string, known: Iterable<string>): string {
  const name = suggest(mistyped, known);
  return name === undefined ? '' : `; did you mean ${JSON.stringify(name)}?`;
}

/** Case and word separators are no difference: `sessionTTL` is `session_ttl`. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_. ]/g, '');
}

/** Edits (insert, delete, replace, swap of neighbours) between two words. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(
        (rows[i - 1]?.[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (rows[i - 1]?.[j - 1] ?? 0) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}
