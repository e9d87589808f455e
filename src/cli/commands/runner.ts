/** `runner`. */
import type { LocalCommand } from '../command.js';

export const runner: LocalCommand = {
  name: 'runner',
  about: 'The Spark Runner: batch jobs by gRPC, for services.',
  settingsOf: 'runner',
  async run({ processes, settings }) {
    await processes.runner(await settings());
    return undefined;
  },
};
