/** `authz`. */
import type { LocalCommand } from '../command.js';

export const authz: LocalCommand = {
  name: 'authz',
  about: 'Decides on each request, beside an Envoy (ext_authz).',
  settingsOf: 'authz',
  async run({ processes, settings }) {
    await processes.authz(await settings());
    return undefined;
  },
};
