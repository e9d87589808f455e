/** `token`. */
import { duration } from '../../lib/yaml/text-types.js';
import type { LocalCommand } from '../command.js';

const life = duration('1s', '30d');

export const token: LocalCommand = {
  name: 'token',
  about: 'Prints a token of the development issuer.',
  options: [
    { name: 'user', value: 'name', about: 'Whose token it is, such as alice.', required: true },
    {
      name: 'ttl',
      value: 'duration',
      about: 'How long it is good, such as 10m; else issuer.token_ttl.',
    },
  ],
  settingsOf: 'token',
  developmentSettings: true,
  check: (options) => {
    const ttl = options.get('ttl');
    return [
      ...(options.has('user') ? [] : ['"token" needs --user <name>, such as --user alice']),
      ...(ttl === undefined || life.parse(ttl, '') !== undefined
        ? []
        : [`--ttl ${ttl}: allowed is ${life.allowed}`]),
    ];
  },
  async run({ options, processes, settings }) {
    const ttlMs = life.parse(options.get('ttl') ?? '', '');
    await processes.token(await settings(), options.get('user') ?? '', ttlMs);
    return undefined;
  },
};
