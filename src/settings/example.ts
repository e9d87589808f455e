/** The documented example file, docs/settings.yaml: every setting with its default. */
import type { Setting, SettingTable } from './setting.js';
import { allowedText, defaultText, rowByName } from './rows.js';
import { settingsTable } from './table.js';

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
