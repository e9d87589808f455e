/** Reads a command line. Nothing here has an effect: src/main.ts acts on the answer. */
import { parseArgs } from 'node:util';
import { didYouMean } from '../lib/yaml/problem.js';
import { duration } from '../lib/yaml/text-types.js';
import {
  type CommandName,
  commands,
  helpOptions,
  optionsOf,
  type CommandDescription,
  type OptionDescription,
} from './commands.js';
import { isShell, type Shell } from './completion.js';
import { onlineCommands, type OnlineCommandName } from './online-commands.js';

/** Where settings come from beside the environment. */
export interface SettingsArguments {
  readonly config: string | undefined;
  /** Name and text of each `--set`, in order. */
  readonly overrides: readonly (readonly [string, string])[];
}

export type Command =
  | { readonly kind: 'help'; readonly topic: CommandName | undefined }
  | { readonly kind: 'version' }
  /** What is wrong with the command line, one line each. */
  | { readonly kind: 'usage-error'; readonly messages: readonly string[] }
  | ({
      readonly kind: 'start' | 'control-plane' | 'authz' | 'issuer' | 'settings validate';
    } & SettingsArguments)
  | ({ readonly kind: 'bootstrap'; readonly output: string | undefined } & SettingsArguments)
  | ({
      readonly kind: 'token';
      readonly user: string;
      readonly ttlMs: number | undefined;
    } & SettingsArguments)
  | ({
      readonly kind: 'policy validate';
      readonly files: readonly string[];
    } & SettingsArguments)
  | ({
      readonly kind: 'online';
      readonly name: OnlineCommandName;
      readonly operands: readonly string[];
      /** By name; a flag that is there has the value "true". */
      readonly options: ReadonlyMap<string, string>;
    } & SettingsArguments)
  | ({
      readonly kind: 'policy test' | 'policy compare';
      readonly files: readonly string[];
      readonly output: string;
    } & SettingsArguments)
  | { readonly kind: 'completion'; readonly shell: Shell }
  | { readonly kind: 'settings example' | 'policy schema' | 'policy crd' };

/** The environment variable that stands in for `--config`. */
const CONFIG_VARIABLE = 'SPARK_GATEWAY_CONFIG';

const tokenLife = duration('1s', '30d');

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
): Command {
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
  if (command.name === 'policy explain') messages.push(...byFileProblems(single));
  const config = single.get('config') ?? (env[CONFIG_VARIABLE] || undefined);
  const settings: SettingsArguments = { config, overrides };
  const kind = command.name;
  if (isOnline(kind)) {
    return messages.length > 0
      ? usageError(messages)
      : { kind: 'online', name: kind, operands, options: single, ...settings };
  }
  switch (kind) {
    case 'policy validate':
      return messages.length > 0 ? usageError(messages) : { kind, files: operands, ...settings };
    case 'policy test':
    case 'policy compare':
      return messages.length > 0
        ? usageError(messages)
        : { kind, files: operands, output: single.get('output') ?? 'table', ...settings };
    case 'settings example':
    case 'policy schema':
    case 'policy crd':
      return messages.length > 0 ? usageError(messages) : { kind };
    case 'completion': {
      const shell = operands[0] ?? '';
      return messages.length > 0 || !isShell(shell) ? usageError(messages) : { kind, shell };
    }
    case 'token': {
      const user = single.get('user');
      if (user === undefined) messages.push('"token" needs --user <name>, such as --user alice');
      const ttl = single.get('ttl');
      const ttlMs = ttl === undefined ? undefined : tokenLife.parse(ttl, '');
      if (ttl !== undefined && ttlMs === undefined) {
        messages.push(`--ttl ${ttl}: allowed is ${tokenLife.allowed}`);
      }
      return user === undefined || messages.length > 0
        ? usageError(messages)
        : { kind: 'token', user, ttlMs, ...settings };
    }
    case 'bootstrap':
      return messages.length > 0
        ? usageError(messages)
        : { kind, output: single.get('output'), ...settings };
    case 'start':
    case 'control-plane':
    case 'authz':
    case 'issuer':
    case 'settings validate':
      return messages.length > 0 ? usageError(messages) : { kind, ...settings };
  }
}

function isAllowed({ choices, openChoices = [] }: OptionDescription, value: string): boolean {
  if (!choices || choices.includes(value)) return true;
  return openChoices.some((open) => value.startsWith(open) && value.length > open.length);
}

type KnownCommand = CommandDescription & { readonly name: CommandName };

function commandOf(words: readonly string[]): KnownCommand | undefined {
  return commands.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '));
}

function isOnline(name: CommandName): name is OnlineCommandName {
  return onlineCommands.some((online) => online.name === name);
}

function unknownCommand(words: readonly string[]): readonly string[] {
  const names = commands.map(({ name }) => name);
  const [first] = words;
  if (first === undefined) return [`no command is given; there are ${names.join(', ')}`];
  const group = names.filter((name) => name.startsWith(`${first} `));
  if (group.length > 0) return [`"${first}" needs to be one of ${group.join(', ')}`];
  return [`there is no command ${JSON.stringify(first)}${didYouMean(first, names)}`];
}

function usageError(messages: readonly string[]): Command {
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

// `policy explain --file`: the options of a command that asks a gateway, where it asks none.

/** What only a gateway that runs makes sense of. */
const ONLY_ONLINE = ['server', 'token-file', 'as', 'ca-file'];

/** What is wrong with these options, one line each. */
function byFileProblems(options: ReadonlyMap<string, string>): readonly string[] {
  if (!options.has('file')) return [];
  const asksGateway = ONLY_ONLINE.filter((name) => options.has(name));
  return [
    ...asksGateway.map((name) => `--${name} is for a gateway that runs: leave it out with --file`),
    ...(options.has('user') || options.has('service')
      ? []
      : ['--file needs --user or --service: without a gateway nobody knows who you are']),
  ];
}
