/** `issuer`. */
import type { LocalCommand } from '../command.js';

export const issuer: LocalCommand = {
  name: 'issuer',
  about: 'A token issuer for development, on a loopback address only.',
  settingsOf: 'issuer',
  async run({ processes, settings }) {
    await processes.issuer(await settings());
    return undefined;
  },
};
