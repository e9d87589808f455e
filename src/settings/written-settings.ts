/** What a file, the environment and arguments say of each setting, not yet interpreted. */
import { basename, dirname } from 'node:path';
import { parseYaml, type YamlEntry, type YamlMap, type YamlValue } from '../lib/yaml/yaml-tree.js';
import { type Place, type Problem, quote, didYouMean } from '../lib/yaml/problem.js';
import { ENV_PREFIX, type Row, rowByEnv, rowByName, rows } from './rows.js';
import type { SettingTable } from './setting.js';
import { settingsTable } from './table.js';

/** What one source says of one setting. */
export interface Written {
  readonly value: YamlValue;
  /** The directory against which relative paths are resolved. */
  readonly base: string;
}

/** By the setting's name. */
export type WrittenSettings = Map<string, Written>;

/** Variables with our prefix that are no settings: of the command line, and the Python of demo and tests. */
const NO_SETTING = new RegExp(`^${ENV_PREFIX}(ADMIN_URL|CONFIG|TOKEN|PYTHON(_\\w+)?)$`);

/**
 * Kubernetes puts such variables into every pod for a Service whose name begins with "spark-gateway"
 * (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
 */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

export function isServiceLink(env: string): boolean {
  return SERVICE_LINK.test(env);
}

export function readFileSettings(text: string, file: string, problems: Problem[]): WrittenSettings {
  const written: WrittenSettings = new Map();
  const base = dirname(file);
  const parsed = parseYaml(text, file);
  problems.push(...parsed.problems);
  if (!parsed.wellFormed || parsed.value.kind === 'nothing') return written;
  if (parsed.value.kind !== 'map') {
    problems.push({
      place: parsed.value.place,
      message: `${basename(file)} must hold settings, one "name: value" on each line`,
    });
    return written;
  }
  readTable(parsed.value, settingsTable, '');
  return written;

  function readTable(map: YamlMap, table: SettingTable, prefix: string): void {
    for (const { key, place, value } of map.entries) {
      const name = `${prefix}${key}`;
      const entry = Object.hasOwn(table, key) ? table[key] : undefined;
      if (entry === undefined) {
        problems.push({ place, message: unknownSetting(name, Object.keys(table), prefix) });
      } else if (value.kind === 'nothing') {
        continue;
      } else if (entry.kind === 'setting') {
        written.set(name, { value, base });
      } else if (value.kind === 'map') {
        readTable(value, entry.settings, `${name}.`);
      } else {
        problems.push({
          place: value.place,
          message: `${name} is a group; allowed below it: ${Object.keys(entry.settings).join(', ')}`,
        });
      }
    }
  }
}

/** Empty variables count as not set. */
export function readEnvSettings(
  env: Readonly<Record<string, string | undefined>>,
  base: string,
  problems: Problem[],
): WrittenSettings {
  const written: WrittenSettings = new Map();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || NO_SETTING.test(name) || !text) continue;
    const place = { source: `environment variable ${name}` };
    const row = rowByEnv.get(name);
    if (row) written.set(row.name, { value: readText(row, text, place, problems), base });
    else if (!isServiceLink(name)) {
      problems.push({
        place,
        message: `is no setting${didYouMean(name, rowByEnv.keys())}`,
      });
    }
  }
  return written;
}

/** Variables such as JAVA_HOME, which count only where nothing else sets their setting. */
export function readFallbackEnv(
  env: Readonly<Record<string, string | undefined>>,
  base: string,
  problems: Problem[],
): WrittenSettings {
  const written: WrittenSettings = new Map();
  for (const row of rows) {
    const name = row.setting.fallbackEnv;
    const text = name === undefined ? undefined : env[name];
    if (!text) continue;
    const place = { source: `environment variable ${name}` };
    written.set(row.name, { value: readText(row, text, place, problems), base });
  }
  return written;
}

/** `overrides` are name and text, as in `--set name=text`; the last of a name counts. */
export function readOverrides(
  overrides: readonly (readonly [string, string])[],
  base: string,
  problems: Problem[],
): WrittenSettings {
  const written: WrittenSettings = new Map();
  for (const [name, text] of overrides) {
    const row = rowByName.get(name);
    const place = { source: `--set ${name}` };
    if (row) written.set(name, { value: readText(row, text, place, problems), base });
    else problems.push({ place, message: unknownSetting(name, [], '') });
  }
  return written;
}

/** A list is `a, b` or YAML `[a, b]`; a map is `a=x, b=y` or YAML `{a: x, b: y}`. */
function readText(row: Row, text: string, place: Place, problems: Problem[]): YamlValue {
  const { form } = row.setting;
  if (form === 'text') return { kind: 'text', text, place };
  if (text.trimStart().startsWith(form === 'list' ? '[' : '{')) {
    const parsed = parseYaml(text, '');
    for (const { message } of parsed.problems) problems.push({ place, message });
    return atPlace(parsed.value, place);
  }
  const parts = text.split(',').map((part) => part.trim());
  if (form === 'list') {
    return {
      kind: 'list',
      place,
      items: parts.map((part) => ({ kind: 'text', text: part, place })),
    };
  }
  return { kind: 'map', place, entries: parts.map((part) => entryOf(part, place)) };
}

function entryOf(part: string, place: Place): YamlEntry {
  const split = part.indexOf('=');
  const key = part.slice(0, split === -1 ? undefined : split);
  const value: YamlValue =
    split === -1
      ? { kind: 'nothing', place }
      : { kind: 'text', text: part.slice(split + 1), place };
  return { key, place, value };
}

function atPlace(value: YamlValue, place: Place): YamlValue {
  switch (value.kind) {
    case 'text':
    case 'nothing':
      return { ...value, place };
    case 'list':
      return { ...value, place, items: value.items.map((item) => atPlace(item, place)) };
    case 'map':
      return {
        ...value,
        place,
        entries: value.entries.map((entry) => ({
          ...entry,
          place,
          value: atPlace(entry.value, place),
        })),
      };
  }
}

function unknownSetting(name: string, siblings: readonly string[], prefix: string): string {
  const near =
    didYouMean(
      name,
      siblings.map((key) => `${prefix}${key}`),
    ) || didYouMean(name, rowByName.keys());
  const hint =
    near || (siblings.length === 0 ? '; see --help' : `; allowed here: ${siblings.join(', ')}`);
  return `${quote(name)} is no setting${hint}`;
}
