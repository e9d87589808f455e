/** `settings validate`. */
import { readNamedText } from '../../lib/files/files.js';
import { describeGoodSettings } from '../../settings/policy-options.js';
import type { Settings } from '../../settings/table.js';
import type { LocalCommand } from '../command.js';

export const settingsValidate: LocalCommand = {
  name: 'settings validate',
  about: 'Checks the settings as the other commands would read them, and says every mistake.',
  settingsOf: 'start',
  async run({ print, settings }) {
    const found = await settings();
    await validateTemplates(found);
    print(describeGoodSettings(found));
    return undefined;
  },
};

/** Rejects with SETTINGS_INVALID that holds every mistake of the driver templates that the settings name. */
async function validateTemplates({ drivers, sessionTtlMs }: Settings): Promise<void> {
  const { templatesFile } = drivers.kubernetes;
  if (drivers.source !== 'kubernetes' || templatesFile === undefined) return;
  const text = await readNamedText(
    templatesFile,
    'SETTINGS_INVALID',
    'the file of driver templates',
  );
  const { compileTemplates } = await import('../../discovery/kubernetes/template-file.js');
  compileTemplates(text, templatesFile, sessionTtlMs);
}
