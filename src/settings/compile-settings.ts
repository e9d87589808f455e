/** Interprets what was written and checks it as a whole. */
import { readNamedText } from '../lib/files/files.js';
import type { YamlValue } from '../lib/yaml/yaml-tree.js';
import {
  formatProblems,
  type Place,
  type Problem,
  quote,
  didYouMean,
} from '../lib/yaml/problem.js';
import { GatewayError } from '../model/errors.js';
import { checks } from './checks.js';
import { allowedText, type Row, rows } from './rows.js';
import { camelCase, type SettingTable } from './setting.js';
import {
  readEnvSettings,
  readFallbackEnv,
  readFileSettings,
  readOverrides,
  type Written,
} from './written-settings.js';
import { type Settings, settingsTable } from './table.js';

export interface SettingsSources {
  /** The settings file, if there is one; its name is shown in messages. */
  readonly file?: { readonly name: string; readonly text: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Name and text, as in `--set name=text`. */
  readonly overrides: readonly (readonly [string, string])[];
  /** Where paths that do not come from the file start. */
  readonly cwd: string;
}

/**
 * The settings, from the strongest source to the weakest: overrides, environment, file, well-known
 * variables, defaults. Throws SETTINGS_INVALID whose message holds every mistake, one on each line.
 */
export function compileSettings(sources: SettingsSources): Settings {
  const { cwd, env, file, overrides } = sources;
  const problems: Problem[] = [];
  const weakestFirst = [
    readFallbackEnv(env, cwd, problems),
    file ? readFileSettings(file.text, file.name, problems) : new Map<string, Written>(),
    readEnvSettings(env, cwd, problems),
    readOverrides(overrides, cwd, problems),
  ];
  const strongest = new Map<string, Written>();
  const values = new Map<string, unknown>();
  for (const row of rows) {
    values.set(row.name, defaultValue(row, cwd));
    for (const written of weakestFirst) {
      const entry = written.get(row.name);
      if (!entry) continue;
      strongest.set(row.name, entry);
      values.set(row.name, readRow(row, entry, problems));
    }
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Settings is by definition what the table compiles to
  const settings = assemble(settingsTable, '', values) as unknown as Settings;
  if (problems.length === 0) {
    for (const rule of checks) {
      const message = rule.check(settings);
      if (message === undefined) continue;
      const set = rule.names
        .map((name) => strongest.get(name))
        .find((entry) => entry !== undefined);
      problems.push({ place: set?.value.place ?? defaultPlace(file?.name), message });
    }
  }
  if (problems.length > 0) throw new GatewayError('SETTINGS_INVALID', formatProblems(problems));
  return settings;
}

function defaultPlace(file: string | undefined): Place {
  return { source: file ?? 'settings' };
}

function defaultValue({ setting }: Row, cwd: string): unknown {
  if (setting.form === 'list') return Object.freeze([]);
  if (setting.form === 'map') return Object.freeze({});
  return setting.default === undefined ? undefined : setting.type.parse(setting.default, cwd);
}

function readRow({ name, setting }: Row, written: Written, problems: Problem[]): unknown {
  const { value, base } = written;
  const refuse = (wrong: YamlValue, wanted: string): undefined => {
    problems.push({ place: wrong.place, message: `${name}: ${shown(wrong)} is not ${wanted}` });
  };
  const readText = (item: YamlValue): unknown => {
    const parsed = item.kind === 'text' ? setting.type.parse(item.text, base) : undefined;
    if (parsed !== undefined) return parsed;
    const near =
      item.kind === 'text' && setting.type.choices
        ? didYouMean(item.text, setting.type.choices)
        : '';
    return refuse(item, `${setting.type.allowed}${near}`);
  };
  switch (setting.form) {
    case 'text':
      return readText(value);
    case 'list':
      if (value.kind !== 'list') return refuse(value, allowedText(setting));
      return Object.freeze(value.items.map(readText));
    case 'map':
      if (value.kind !== 'map') return refuse(value, allowedText(setting));
      return Object.freeze(
        Object.fromEntries(value.entries.map((entry) => [entry.key, readText(entry.value)])),
      );
  }
}

function shown(value: YamlValue): string {
  switch (value.kind) {
    case 'text':
      return quote(value.text);
    case 'list':
      return 'a list';
    case 'map':
      return 'a map';
    case 'nothing':
      return 'an empty value';
  }
}

function assemble(
  table: SettingTable,
  prefix: string,
  values: ReadonlyMap<string, unknown>,
): Readonly<Record<string, unknown>> {
  return Object.freeze(
    Object.fromEntries(
      Object.entries(table).map(([key, entry]) =>
        entry.kind === 'group'
          ? [camelCase(key), assemble(entry.settings, `${prefix}${key}.`, values)]
          : [`${camelCase(key)}${entry.unit}`, values.get(`${prefix}${key}`)],
      ),
    ),
  );
}

export interface LoadOptions extends Omit<SettingsSources, 'file'> {
  /** The settings file; without it, defaults, environment and overrides alone. */
  readonly file: string | undefined;
}

/** Reads and compiles the settings. Rejects with SETTINGS_INVALID that says every mistake. */
export async function loadSettings({ file, ...sources }: LoadOptions): Promise<Settings> {
  if (file === undefined) return compileSettings(sources);
  const text = await readNamedText(file, 'SETTINGS_INVALID', 'the settings file');
  return compileSettings({ ...sources, file: { name: file, text } });
}

/** Records of a running stream within one session TTL at least: one may be late, one may be lost. */
const RECORDS_IN_A_TTL = 3;

/**
 * How often Envoys report a stream that stays open, milliseconds: as `access_log.interval` says, but
 * so often that a query which runs longer than `session_ttl` never looks idle.
 */
export function accessLogIntervalMs(
  settings: Pick<Settings, 'accessLog' | 'sessionTtlMs'>,
): number {
  const { accessLog, sessionTtlMs } = settings;
  return Math.min(accessLog.intervalMs, Math.floor(sessionTtlMs / RECORDS_IN_A_TTL));
}
