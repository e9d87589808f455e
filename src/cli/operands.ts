/** What may follow a command's name, as its description writes it: `<a>`, `[<a>]`, `<a>...`. */
import type { CommandDescription } from './description.js';

/** What is wrong with these operands, or undefined. */
export function operandProblem(
  { name, operands = '', operandChoices }: CommandDescription,
  given: readonly string[],
): string | undefined {
  const patterns = operands.split(' ').filter((word) => word !== '');
  const least = patterns.filter((pattern) => pattern.startsWith('<')).length;
  const repeats = patterns.some((pattern) => pattern.endsWith('...'));
  if (given.length < least) return `"${name}" needs ${patterns[given.length] ?? operands}`;
  const unknown = operandChoices && given.find((operand) => !operandChoices.includes(operand));
  if (unknown !== undefined) {
    return `"${name}" takes one of ${operandChoices?.join(', ')}, not ${JSON.stringify(unknown)}`;
  }
  const beyond = repeats ? undefined : given[patterns.length];
  return beyond === undefined ? undefined : `"${name}" takes no ${JSON.stringify(beyond)}`;
}
