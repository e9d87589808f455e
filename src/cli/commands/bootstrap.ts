/** `bootstrap`. */
import type { LocalCommand } from '../command.js';

export const bootstrap: LocalCommand = {
  name: 'bootstrap',
  about: "Prints the configuration with which an Envoy starts (JSON, for Envoy's --config-path).",
  settingsOf: 'bootstrap',
  async run({ print, processes, settings }) {
    print(`${await processes.bootstrap(await settings())}\n`);
    return undefined;
  },
};
