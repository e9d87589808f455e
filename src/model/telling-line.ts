/**
 * The one line that says most of a text that others wrote: a log, a stack trace, an operator's message.
 * To be used where such a text enters; what users, records and Events are told is made of it.
 */

const LONGEST = 300;
/** Lines of stack traces that say where, and not what. */
const FRAME = /^(at\s|\.\.\. \d+ (more|common frames)|File "|Suppressed:)/;
const CAUSE = /^Caused by:\s*/;
const FAILURE = /(exception|error|fail|refused|denied|forbidden|invalid|exceeded|not found)/i;

/** At most `longest` characters; the last cause of a stack trace, else the first line that names a failure, else the first. */
export function tellingLine(text: string, longest = LONGEST): string {
  const lines = text
    .split(/[\r\n]+/)
    .map((line) => line.replaceAll(/\s+/g, ' ').trim())
    .filter((line) => line !== '' && !FRAME.test(line));
  const cause = lines.findLast((line) => CAUSE.test(line))?.replace(CAUSE, '');
  const [first = ''] = lines;
  const telling = cause ?? (lines.length > 1 ? lines.find((line) => FAILURE.test(line)) : first);
  return cut(telling ?? first, longest);
}

/** Never in the middle of a character. */
export function cut(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const characters = Array.from(text.slice(0, longest));
  if (/[\ud800-\udbff]$/.test(characters.at(-1) ?? '')) characters.pop();
  return `${characters.slice(0, -1).join('')}…`;
}
