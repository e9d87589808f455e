/** The last lines of a log, in blocks that are drawn as wholes. Its memory is bounded. */

export interface LogBlock {
  readonly key: number;
  readonly text: string;
  readonly lines: number;
}

export interface Log {
  readonly blocks: readonly LogBlock[];
  readonly lines: number;
  /** There were lines before these, which are not kept. */
  readonly dropped: boolean;
}

export const EMPTY_LOG: Log = { blocks: [], lines: 0, dropped: false };

export interface LogLimits {
  readonly lines: number;
  /** UTF-16 code units. */
  readonly characters: number;
  readonly blockLines: number;
}

export const LOG_LIMITS: LogLimits = { lines: 10_000, characters: 4_000_000, blockLines: 250 };
const LONGEST_LINE = 20_000;

export function appended(log: Log, lines: readonly string[], limits = LOG_LIMITS): Log {
  const blocks = [...log.blocks];
  for (let at = 0; at < lines.length;) {
    const last = blocks.at(-1);
    const room = last ? limits.blockLines - last.lines : 0;
    const taken = lines.slice(at, at + (room > 0 ? room : limits.blockLines));
    at += taken.length;
    const text = taken.map((line) => `${shown(line)}\n`).join('');
    if (last && room > 0) {
      blocks[blocks.length - 1] = {
        key: last.key,
        text: last.text + text,
        lines: last.lines + taken.length,
      };
    } else {
      blocks.push({ key: (last?.key ?? 0) + 1, text, lines: taken.length });
    }
  }
  let count = log.lines + lines.length;
  let characters = blocks.reduce((sum, { text }) => sum + text.length, 0);
  let dropped = log.dropped;
  while (blocks.length > 1 && (count > limits.lines || characters > limits.characters)) {
    const first = blocks.shift();
    count -= first?.lines ?? 0;
    characters -= first?.text.length ?? 0;
    dropped = true;
  }
  return { blocks, lines: count, dropped };
}

/** Without what only a terminal understands, and not longer than somebody reads. */
function shown(line: string): string {
  const plain = line
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    .replaceAll(/\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u0008\u000b-\u001f\u007f]/g, '');
  return plain.length > LONGEST_LINE ? `${plain.slice(0, LONGEST_LINE)}…` : plain;
}
