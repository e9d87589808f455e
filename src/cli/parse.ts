/** Reads a command line. Nothing here has an effect: src/main.ts acts on the answer. */
import { parseArgs } from 'node:util';
import { didYouMean } from '../lib/yaml/problem.js';
import type { CommandDescription, OptionDescription } from './command.js';
import { commands } from './commands.js';
import { helpOptions, optionsOf } from './options.js';

/** Where settings come from beside the environment. */
export interface SettingsArguments {
  readonly config: string | undefined;
  /** Name and text of each `--set`, in order. */
  readonly overrides: readonly (readonly [string, string])[];
}

export type CommandLine =
  | { readonly kind: 'help'; readonly topic: string | undefined }
  | { readonly kind: 'version' }
  /** What is wrong with the command line, one line each. */
  | { readonly kind: 'usage-error'; readonly messages: readonly string[] }
  | ({
      readonly kind: 'run';
      readonly name: string;
      readonly operands: readonly string[];
      /** By name, without those of the settings; a flag that is there has the value "true". */
      readonly options: ReadonlyMap<string, string>;
    } & SettingsArguments);

/** The environment variable that stands in for `--config`. */
const CONFIG_VARIABLE = 'SPARK_GATEWAY_CONFIG';

const argumentTypes = Object.fromEntries(
  [...commands.flatMap((command) => optionsOf(command)), ...helpOptions].map(
    ({ name, short, value }) => [
      name,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        ...(short === undefined ? {} : { short }),
      },
    ],
  ),
);

/** `args` without the program's name, as in `process.argv.slice(2)`. */
export function parseCommandLine(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CommandLine {
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: argumentTypes,
  });
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
  const given = tokens.flatMap((token) => (token.kind === 'option' ? [token] : []));
  const command = commandOf(words);
  if (given.some(({ name }) => name === 'help') || words[0] === 'help') {
    const topic = words[0] === 'help' ? commandOf(words.slice(1)) : command;
    return { kind: 'help', topic: topic?.name };
  }
  if (given.some(({ name }) => name === 'version')) return { kind: 'version' };
  if (!command) return usageError(unknownCommand(words));

  const operands = words.slice(command.name.split(' ').length);
  const messages: string[] = [];
  const single = new Map<string, string>();
  const overrides: (readonly [string, string])[] = [];
  const allowed = optionsOf(command);
  for (const { name, rawName, value: written } of given) {
    const option = allowed.find((known) => known.name === name);
    const value = option && option.value === undefined ? 'true' : written;
    if (!option) {
      messages.push(
        `${rawName} is no option of "${command.name}"${didYouMean(
          rawName,
          allowed.map((known) => `--${known.name}`),
        )}`,
      );
    } else if (option.value === undefined && written !== undefined) {
      messages.push(`${rawName} takes no value`);
    } else if (value === undefined || value === '') {
      messages.push(`${rawName} needs a value`);
    } else if (!isAllowed(option, value)) {
      const { choices = [], openChoices = [] } = option;
      const allowedValues = [...choices, ...openChoices.map((open) => `${open}…`)];
      messages.push(`${rawName} ${value}: allowed is ${allowedValues.join(', ')}`);
    } else if (name === 'set') {
      const split = value.indexOf('=');
      if (split > 0) overrides.push([value.slice(0, split), value.slice(split + 1)]);
      else messages.push(`${rawName} ${value}: write it as name=value`);
    } else if (single.has(name)) {
      messages.push(`${rawName} is given twice`);
    } else {
      single.set(name, value);
    }
  }
  const misused = operandProblem(command, operands, single);
  if (misused !== undefined) messages.push(misused);
  messages.push(...(command.check?.(single) ?? []));
  if (messages.length > 0) return usageError(messages);
  const config = single.get('config') ?? (env[CONFIG_VARIABLE] || undefined);
  single.delete('config');
  return { kind: 'run', name: command.name, operands, options: single, config, overrides };
}

function isAllowed({ choices, openChoices = [] }: OptionDescription, value: string): boolean {
  if (!choices || choices.includes(value)) return true;
  return openChoices.some((open) => value.startsWith(open) && value.length > open.length);
}

function commandOf(words: readonly string[]): CommandDescription | undefined {
  return commands.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '));
}

function unknownCommand(words: readonly string[]): readonly string[] {
  const names = commands.map(({ name }) => name);
  const [first] = words;
  if (first === undefined) return [`no command is given; there are ${names.join(', ')}`];
  const group = names.filter((name) => name.startsWith(`${first} `));
  if (group.length > 0) return [`"${first}" needs to be one of ${group.join(', ')}`];
  return [`there is no command ${JSON.stringify(first)}${didYouMean(first, names)}`];
}

function usageError(messages: readonly string[]): CommandLine {
  return { kind: 'usage-error', messages: [...messages, 'see spark-gateway --help'] };
}

// What may follow a command's name, as its description writes it: `<a>`, `[<a>]`, `<a>...`.

/** What is wrong with these operands, or undefined. */
function operandProblem(
  { name, operands = '', operandChoices, insteadOfOperand = [] }: CommandDescription,
  given: readonly string[],
  options: ReadonlyMap<string, string>,
): string | undefined {
  const patterns = operands.split(' ').filter((word) => word !== '');
  const least = patterns.filter((pattern) => pattern.startsWith('<')).length;
  const repeats = patterns.some((pattern) => pattern.endsWith('...'));
  const instead = insteadOfOperand.find((option) => options.has(option));
  if (instead !== undefined) {
    return given.length === 0 ? undefined : `"${name}" takes no operand beside --${instead}`;
  }
  if (given.length < least) {
    const last = insteadOfOperand.length - 1;
    const or = insteadOfOperand
      .map((option, at) => `${at === last ? ' or' : ','} --${option}`)
      .join('');
    return `"${name}" needs ${patterns[given.length] ?? operands}${or}`;
  }
  const unknown = operandChoices && given.find((operand) => !operandChoices.includes(operand));
  if (unknown !== undefined) {
    return `"${name}" takes one of ${operandChoices?.join(', ')}, not ${JSON.stringify(unknown)}`;
  }
  const beyond = repeats ? undefined : given[patterns.length];
  return beyond === undefined ? undefined : `"${name}" takes no ${JSON.stringify(beyond)}`;
}
