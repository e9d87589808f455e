/** The settings table as a flat list. */
import type { GatewayRole, SettingDescription, Setting, SettingTable } from './setting.js';
import { settingsTable } from './table.js';

export const ENV_PREFIX = 'SPARK_GATEWAY_';

export interface Row {
  /** As in the file, with dots between groups. */
  readonly name: string;
  readonly env: string;
  readonly setting: Setting<unknown, string>;
}

export const rows: readonly Row[] = rowsOf(settingsTable, '');

export const rowByName: ReadonlyMap<string, Row> = new Map(rows.map((row) => [row.name, row]));
export const rowByEnv: ReadonlyMap<string, Row> = new Map(rows.map((row) => [row.env, row]));

/** The settings that a role reads, for its help. */
export function describeSettings(role: GatewayRole): readonly SettingDescription[] {
  return rows
    .filter(({ setting }) => role === 'start' || setting.roles.includes(role))
    .map(({ name, env, setting }) => ({
      name,
      env,
      default: defaultText(setting),
      allowed: allowedText(setting),
      about: setting.about,
    }));
}

export function allowedText({ form, type }: Setting<unknown, string>): string {
  if (form === 'list') return `a list, such as [a, b], of: ${type.allowed}`;
  if (form === 'map') return `names with values, such as {a: x, b: y}, of: ${type.allowed}`;
  return type.allowed;
}

function defaultText(setting: Setting<unknown, string>): string | undefined {
  if (setting.form === 'list') return '[]';
  if (setting.form === 'map') return '{}';
  if (setting.fallbackEnv !== undefined) return `$${setting.fallbackEnv}`;
  return setting.default;
}

function rowsOf(table: SettingTable, prefix: string): readonly Row[] {
  return Object.entries(table).flatMap(([key, entry]) => {
    const name = `${prefix}${key}`;
    if (entry.kind === 'group') return rowsOf(entry.settings, `${name}.`);
    return [
      { name, env: `${ENV_PREFIX}${name.toUpperCase().replaceAll('.', '_')}`, setting: entry },
    ];
  });
}

// The documented example file, docs/settings.yaml: every setting with its default.

const WIDTH = 100;

const HEADER = `Every setting of spark-gateway with its default. A settings file needs only what differs.
Strongest first: --set name=value, the environment variable, the file, the default.
Relative paths start at the directory of the file.`;

/** A valid settings file that changes nothing. Settings without a default stand in comments. */
export function renderExample(): string {
  return `${comment(HEADER, '')}\n${renderTable(settingsTable, '', '')}`;
}

function renderTable(table: SettingTable, prefix: string, indent: string): string {
  return Object.entries(table)
    .map(([key, entry]) => {
      const name = `${prefix}${key}`;
      if (entry.kind === 'setting') return renderSetting(name, key, entry, indent);
      const inner = renderTable(entry.settings, `${name}.`, `${indent}  `);
      return `${comment(entry.about, indent)}${indent}${key}:
${inner}`;
    })
    .join('\n');
}

function renderSetting(
  name: string,
  key: string,
  setting: Setting<unknown, string>,
  indent: string,
): string {
  const about = [
    setting.about,
    `Allowed: ${allowedText(setting)}`,
    `Env: ${rowByName.get(name)?.env ?? ''}; used by: ${setting.roles.join(', ')}`,
  ].join('\n');
  const text = defaultText(setting);
  const line =
    setting.form === 'text' && setting.default === undefined
      ? `# ${key}:${text === undefined ? '' : ` ${text}`}`
      : `${key}: ${text ?? ''}`;
  return `${comment(about, indent)}${indent}${line}\n`;
}

function comment(text: string, indent: string): string {
  return text
    .split('\n')
    .flatMap((line) => wrap(line, WIDTH - indent.length - 2))
    .map((line) => `${indent}# ${line}\n`)
    .join('');
}

function wrap(line: string, width: number): readonly string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of line.split(' ')) {
    const longer = current === '' ? word : `${current} ${word}`;
    if (longer.length > width && current !== '') {
      lines.push(current);
      current = word;
    } else current = longer;
  }
  return [...lines, current];
}
