/** The end of a job's log as one text. */

export const LOG_LINES = 1_000;
const LOG_BYTES = 512 * 1024;
/** A line beyond it is cut, characters. */
const LINE_LENGTH = 16 * 1024;

export const LEFT_OUT = '[earlier lines are left out]';
const CUT = ' [cut]';

export interface BoundedLog {
  readonly lines: readonly string[];
  /** There are lines before these. */
  readonly truncated: boolean;
}

/** The last of the lines, as many as fit. */
export function boundedLog(lines: readonly string[], truncated: boolean): BoundedLog {
  const kept: string[] = [];
  let bytes = 0;
  for (const line of lines.slice(-LOG_LINES).toReversed()) {
    const shown = line.length > LINE_LENGTH ? line.slice(0, LINE_LENGTH) + CUT : line;
    bytes += Buffer.byteLength(shown) + 1;
    if (bytes > LOG_BYTES) break;
    kept.push(shown);
  }
  return { lines: kept.toReversed(), truncated: truncated || kept.length < lines.length };
}

/** One text that says in its first line when it is not all. */
export function logText({ lines, truncated }: BoundedLog): string {
  return [...(truncated ? [LEFT_OUT] : []), ...lines].join('\n');
}
