/** `settings example`. */
import { renderExample } from '../../settings/rows.js';
import type { LocalCommand } from '../command.js';

export const settingsExample: LocalCommand = {
  name: 'settings example',
  about: 'Prints a documented settings file that holds every default.',
  run({ print }) {
    print(renderExample());
    return Promise.resolve(undefined);
  },
};
