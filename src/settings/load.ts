import { readFile } from 'node:fs/promises';
import { GatewayError, reasonOf } from '../model/errors.js';
import { compileSettings, type SettingsSources } from './compile.js';
import type { Settings } from './table.js';

export interface LoadOptions extends Omit<SettingsSources, 'file'> {
  /** The settings file; without it, defaults, environment and overrides alone. */
  readonly file: string | undefined;
}

/** Reads and compiles the settings. Rejects with SETTINGS_INVALID that says every mistake. */
export async function loadSettings({ file, ...sources }: LoadOptions): Promise<Settings> {
  if (file === undefined) return compileSettings(sources);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `${file}: the settings file cannot be read: ${reasonOf(error)}`,
      { cause: error },
    );
  }
  return compileSettings({ ...sources, file: { name: file, text } });
}
