/** `start`. */
import type { LocalCommand } from '../command.js';

export const start: LocalCommand = {
  name: 'start',
  about: 'The whole gateway on one machine: control plane, authz, Envoy and local Spark drivers.',
  settingsOf: 'start',
  developmentSettings: true,
  async run({ processes, settings }) {
    await processes.start(await settings());
    return undefined;
  },
};
