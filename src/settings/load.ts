import { readNamedText } from '../files/read.js';
import { compileSettings, type SettingsSources } from './compile.js';
import type { Settings } from './table.js';

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
