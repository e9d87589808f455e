/** Mistakes in what a person wrote, and where. */

/** Where a value was written: a place in a file, or something else that has a name. */
export interface Place {
  /** A file's name as the person gave it, or such as `environment variable SPARK_GATEWAY_LOG_LEVEL`. */
  readonly source: string;
  /** From 1; absent where the source is no file. */
  readonly line?: number;
  readonly column?: number;
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
