/** Reads a command line. Nothing here has an effect: src/main.ts acts on the answer. */
import { parseArgs } from 'node:util';
import { didYouMean } from '../yaml/suggest.js';
import { duration } from '../yaml/units.js';
import { type CommandDescription, type CommandName, commands } from './commands.js';

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
      readonly kind:
        'start' | 'control-plane' | 'authz' | 'bootstrap' | 'issuer' | 'settings validate';
    } & SettingsArguments)
  | ({
      readonly kind: 'token';
      readonly user: string;
      readonly ttlMs: number | undefined;
    } & SettingsArguments)
  | ({
      readonly kind: 'policy validate';
      readonly files: readonly string[];
    } & SettingsArguments)
  | { readonly kind: 'settings example' | 'policy schema' };

/** The environment variable that stands in for `--config`. */
export const CONFIG_VARIABLE = 'SPARK_GATEWAY_CONFIG';

const tokenLife = duration('1s', '30d');

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
    options: {
      config: { type: 'string', short: 'c' },
      set: { type: 'string', short: 's' },
      user: { type: 'string' },
      ttl: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'V' },
    },
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
  for (const { name, rawName, value } of given) {
    if (!allowed.includes(name)) {
      messages.push(
        `${rawName} is no option of "${command.name}"${didYouMean(
          rawName,
          allowed.map((known) => `--${known}`),
        )}`,
      );
    } else if (value === undefined || value === '') {
      messages.push(`${rawName} needs a value`);
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
  if (command.operands === undefined && operands.length > 0) {
    messages.push(`"${command.name}" takes no ${JSON.stringify(operands[0])}`);
  }
  const config = single.get('config') ?? (env[CONFIG_VARIABLE] || undefined);
  const settings: SettingsArguments = { config, overrides };
  switch (command.name) {
    case 'policy validate':
      if (operands.length === 0) messages.push('"policy validate" needs the name of a file');
      return messages.length > 0
        ? usageError(messages)
        : { kind: command.name, files: operands, ...settings };
    case 'settings example':
    case 'policy schema':
      return messages.length > 0 ? usageError(messages) : { kind: command.name };
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
    case 'start':
    case 'control-plane':
    case 'authz':
    case 'bootstrap':
    case 'issuer':
    case 'settings validate':
      return messages.length > 0 ? usageError(messages) : { kind: command.name, ...settings };
  }
}

type KnownCommand = CommandDescription & { readonly name: CommandName };

function commandOf(words: readonly string[]): KnownCommand | undefined {
  return commands.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '));
}

function optionsOf(command: CommandDescription): readonly string[] {
  const own = (command.options ?? []).map(({ name }) => name);
  return command.settingsOf === undefined ? own : [...own, 'config', 'set'];
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
