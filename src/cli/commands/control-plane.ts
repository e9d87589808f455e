/** `control-plane`. */
import type { LocalCommand } from '../command.js';

export const controlPlane: LocalCommand = {
  name: 'control-plane',
  about: 'Finds drivers, keeps pools and sessions, and configures the Envoys (xDS).',
  settingsOf: 'control-plane',
  async run({ processes, settings }) {
    await processes.controlPlane(await settings());
    return undefined;
  },
};
