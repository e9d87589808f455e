/** `playground`. */
import type { LocalCommand } from '../command.js';

export const playground: LocalCommand = {
  name: 'playground',
  about: 'The Playground: batch jobs by REST, and the page on which people write and run them.',
  settingsOf: 'playground',
  async run({ processes, settings }) {
    await processes.playground(await settings());
    return undefined;
  },
};
