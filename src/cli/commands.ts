/** The commands of `spark-gateway` and what each is for. */
import type { GatewayRole } from '../settings/setting.js';
import { onlineCommands, onlineOptions } from './online-commands.js';

const outputOption: OptionDescription = {
  name: 'output',
  short: 'o',
  value: 'form',
  about: 'A table for people, or everything for programs.',
  choices: ['table', 'json', 'yaml'],
};

export const commands = [
  {
    name: 'start',
    about: 'The whole gateway on one machine: control plane, authz, Envoy and local Spark drivers.',
    settingsOf: 'start',
  },
  {
    name: 'control-plane',
    about: 'Finds drivers, keeps pools and sessions, and configures the Envoys (xDS).',
    settingsOf: 'control-plane',
  },
  {
    name: 'authz',
    about: 'Decides on each request, beside an Envoy (ext_authz).',
    settingsOf: 'authz',
  },
  {
    name: 'bootstrap',
    about: "Prints the configuration with which an Envoy starts (JSON, for Envoy's --config-path).",
    options: [
      {
        name: 'output',
        short: 'o',
        value: 'file',
        about: 'Writes it there, readable by its owner.',
      },
    ],
    settingsOf: 'bootstrap',
  },
  {
    name: 'issuer',
    about: 'A token issuer for development, on a loopback address only.',
    settingsOf: 'issuer',
  },
  {
    name: 'token',
    about: 'Prints a token of the development issuer.',
    options: [
      { name: 'user', value: 'name', about: 'Whose token it is, such as alice.', required: true },
      {
        name: 'ttl',
        value: 'duration',
        about: 'How long it is good, such as 10m; else issuer.token_ttl.',
      },
    ],
    settingsOf: 'token',
  },
  {
    name: 'policy validate',
    about: 'Checks routing policies, together with the settings, and says every mistake.',
    operands: '<file>...',
    settingsOf: 'authz',
  },
  {
    name: 'policy test',
    about:
      'Tries a policy with a table of cases, and shows those that come out otherwise. Exit code 1 if there are any.',
    operands: '<policy> <cases>',
    options: [outputOption],
    settingsOf: 'authz',
  },
  {
    name: 'policy compare',
    about:
      'Shows the cases of which two policies make something else. Exit code 1 if there are any.',
    operands: '<old> <new> <cases>',
    options: [outputOption],
    settingsOf: 'authz',
  },
  {
    name: 'policy schema',
    about: 'Prints the JSON Schema of routing policies, for editors.',
  },
  {
    name: 'policy crd',
    about: 'Prints the CustomResourceDefinition of routing policies, for Kubernetes.',
  },
  {
    name: 'settings validate',
    about: 'Checks the settings as the other commands would read them, and says every mistake.',
    settingsOf: 'start',
  },
  {
    name: 'settings example',
    about: 'Prints a documented settings file that holds every default.',
  },
  ...onlineCommands,
  {
    name: 'completion',
    about: 'Prints a script for a shell that completes these commands and their options.',
    operands: '<shell>',
    operandChoices: ['bash', 'zsh', 'fish'],
  },
] as const satisfies readonly CommandDescription[];

export type CommandName = (typeof commands)[number]['name'];

/** What every command of a kind takes beside its own options. */
const settingsOptions: readonly OptionDescription[] = [
  { name: 'config', short: 'c', value: 'file', about: 'The settings file.' },
  { name: 'set', short: 's', value: 'name=value', about: 'One setting; may be given again.' },
];

export const helpOptions: readonly OptionDescription[] = [
  { name: 'help', short: 'h', about: 'Says what a command does and takes.' },
  { name: 'version', short: 'V', about: 'Says which release this is.' },
];

export function optionsOf(command: CommandDescription): readonly OptionDescription[] {
  return [
    ...(command.options ?? []),
    ...(command.online === true ? onlineOptions : []),
    ...(command.settingsOf === undefined ? [] : settingsOptions),
  ];
}

export function findCommand(name: string): CommandDescription & { readonly name: CommandName } {
  const found = commands.find((command) => command.name === name);
  if (!found) throw new TypeError(`no command ${name}`);
  return found;
}

// What a command and its options are, for the parser, help and completion.

export interface CommandDescription {
  /** As typed: `authz`, `policy validate`. */
  readonly name: string;
  readonly about: string;
  /** What follows the name, beside the options: `<file>...`, `<driver>`. */
  readonly operands?: string;
  /** All that may be written as operand, where that is little. */
  /** Options of which each stands for the operand. */
  readonly insteadOfOperand?: readonly string[];
  readonly operandChoices?: readonly string[];
  readonly options?: readonly OptionDescription[];
  /** Whose settings it reads; undefined: none. */
  readonly settingsOf?: GatewayRole;
  /** Asks a gateway that runs, and takes the options that say which, as whom, and how to show the answer. */
  readonly online?: boolean;
}

export interface OptionDescription {
  /** Without dashes. */
  readonly name: string;
  readonly short?: string;
  /** What stands behind it; undefined: nothing, it is there or not. */
  readonly value?: string;
  readonly about: string;
  readonly required?: boolean;
  /** All that may be written, where that is little. */
  readonly choices?: readonly string[];
  /** Beginnings of what may be written beside the choices. */
  readonly openChoices?: readonly string[];
}
