/** Help, as `--help` prints it. */
import type { GatewayRole, SettingDescription } from '../model/setting-description.js';
import { type CommandDescription, type CommandName, commands, findCommand } from './commands.js';

const EXIT_CODES = `Exit codes: 0 done; 1 failed while running; 2 a mistake in the command line, settings or policy.`;

/** `topic` undefined: the overview. `settingsOf` says which settings a role reads. */
export function renderHelp(
  topic: CommandName | undefined,
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
  const usage = [
    'Usage: spark-gateway',
    command.name,
    ...(command.operands === undefined ? [] : [command.operands]),
    ...(command.options ?? []).map(({ name, value, required }) =>
      required ? `--${name} <${value}>` : `[--${name} <${value}>]`,
    ),
    ...(command.settingsOf === undefined ? [] : ['[--config <file>] [--set <name>=<value>]...']),
  ].join(' ');
  const options = (command.options ?? []).map(
    ({ name, value, about }) => `  --${name} <${value}>: ${about}`,
  );
  return [
    usage,
    '',
    command.about,
    '',
    ...(options.length > 0 ? [...options, ''] : []),
    ...(command.settingsOf === undefined ? [] : settingsHelp(settingsOf(command.settingsOf))),
    EXIT_CODES,
    '',
  ].join('\n');
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
