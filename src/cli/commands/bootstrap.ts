/** `bootstrap`. */
import type { LocalCommand } from '../command.js';

export const bootstrap: LocalCommand = {
  name: 'bootstrap',
  about: "Prints the configuration with which an Envoy starts (JSON, for Envoy's --config-path).",
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'file',
      about: 'Writes it there, readable by its owner.',
    },
  ],
  settingsOf: 'bootstrap',
  async run({ options, print, processes, settings }) {
    const file = options.get('output');
    if (file === undefined) print(`${await processes.bootstrap(await settings())}\n`);
    else await processes.writeBootstrap(await settings(), file);
    return undefined;
  },
};
