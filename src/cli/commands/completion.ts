/** `completion`. */
import type { LocalCommand } from '../command.js';
import { isShell, renderCompletion, shells } from '../shell-completion.js';

export const completion: LocalCommand = {
  name: 'completion',
  about: 'Prints a script for a shell that completes these commands and their options.',
  operands: '<shell>',
  operandChoices: shells,
  run({ commands, operands, print }) {
    const [shell = ''] = operands;
    if (isShell(shell)) print(renderCompletion(shell, commands));
    return Promise.resolve(undefined);
  },
};
