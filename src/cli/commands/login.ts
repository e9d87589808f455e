/** `login`. */
import { setTimeout } from 'node:timers/promises';
import { systemClock } from '../../model/clock.js';
import { localAdminUrl } from '../../settings/table.js';
import { AdminClient, gatewayOf } from '../admin-client.js';
import type { LocalCommand } from '../command.js';
import { gatewayOptions } from '../options.js';

export const login: LocalCommand = {
  name: 'login',
  about: 'Logs you in to a gateway, with a code that you confirm in any browser.',
  options: [
    ...gatewayOptions,
    {
      name: 'issuer',
      value: 'url',
      about: 'The OpenID issuer to log in with; else the one that the gateway names.',
    },
    {
      name: 'client-id',
      value: 'id',
      about: 'The public client to be, which may use the device flow; else the one that it names.',
    },
    {
      name: 'scope',
      value: 'scopes',
      about: 'What to ask the issuer for, separated by spaces; else what the gateway names.',
    },
  ],
  settingsOf: 'operator',
  developmentSettings: true,
  async run({ options, settings, print }) {
    const { KeptLogins } = await import('../login/kept-logins.js');
    const { logIn } = await import('../login/login.js');
    const { env } = process;
    const gateway = await gatewayOf({ options, env, settingsUrl: localAdminUrl(await settings()) });
    const told = await logIn(
      {
        issuer: options.get('issuer'),
        clientId: options.get('client-id'),
        scope: options.get('scope'),
      },
      (token) => new AdminClient({ gateway, token: async () => token }),
      {
        logins: new KeptLogins(env),
        gateway: gateway.url,
        now: () => systemClock.now(),
        pause: (ms) => setTimeout(ms),
        say: (text) => print(`${text}\n`),
      },
    );
    print(`${told}\n`);
    return undefined;
  },
};
