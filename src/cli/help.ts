/** Help, as `--help` prints it. */
import type { GatewayRole, SettingDescription } from '../settings/setting.js';
import type { CommandDescription, OptionDescription } from './command.js';
import { commands, findCommand } from './commands.js';
import { optionsOf } from './options.js';

const EXIT_CODES = [
  'Exit codes: 0 done; 1 failed, or refused by the gateway; 2 a mistake in the command line, settings',
  'or policy; 3 the gateway cannot be reached; 4 it does not know you, or you lack the role.',
].join('\n');

/** `topic` undefined: the overview. `settingsOf` says which settings a role reads. */
export function renderHelp(
  topic: string | undefined,
  settingsOf: (role: GatewayRole) => readonly SettingDescription[],
): string {
  return topic === undefined ? overview() : commandHelp(findCommand(topic), settingsOf);
}

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'Usage: spark-gateway <command> [options]',
    '',
    'Commands:',
    ...commands.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`),
    '',
    '"spark-gateway <command> --help" lists its settings; "spark-gateway --version" says the version.',
    '',
    EXIT_CODES,
    '',
  ].join('\n');
}

function commandHelp(
  command: CommandDescription,
  settingsOf: (role: GatewayRole) => readonly SettingDescription[],
): string {
  const options = optionsOf(command);
  const usage = [
    'Usage: spark-gateway',
    command.name,
    ...(command.operands === undefined ? [] : [command.operands]),
    ...options.filter(({ required }) => required === true).map(written),
    ...(options.some(({ required }) => required !== true) ? ['[options]'] : []),
  ].join(' ');
  return [
    usage,
    '',
    command.about,
    '',
    ...(options.length > 0 ? ['Options:', ...options.flatMap(optionHelp), ''] : []),
    ...(command.settingsOf === undefined ? [] : settingsHelp(settingsOf(command.settingsOf))),
    EXIT_CODES,
    '',
  ].join('\n');
}

function written({ name, value }: OptionDescription): string {
  return value === undefined ? `--${name}` : `--${name} <${value}>`;
}

function optionHelp(option: OptionDescription): readonly string[] {
  const { short, about, choices } = option;
  return [
    `  ${short === undefined ? '' : `-${short}, `}${written(option)}`,
    `      ${about}`,
    ...(choices ? [`      Allowed: ${choices.join(', ')}`] : []),
  ];
}

function settingsHelp(settings: readonly SettingDescription[]): readonly string[] {
  return [
    'Settings come from --set, then the environment, then the file named by --config (or by',
    'SPARK_GATEWAY_CONFIG), then the default:',
    '',
    ...settings.flatMap((setting) => [
      `  ${setting.name}${setting.default === undefined ? '' : ` (default ${setting.default})`}`,
      `      ${setting.about}`,
      `      Allowed: ${setting.allowed}`,
      `      Env: ${setting.env}`,
    ]),
    '',
  ];
}
