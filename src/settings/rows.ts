/** The settings table as a flat list. */
import type { GatewayRole, SettingDescription } from '../model/setting-description.js';
import type { Setting, SettingTable } from './setting.js';
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

export function defaultText(setting: Setting<unknown, string>): string | undefined {
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
