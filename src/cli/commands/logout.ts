/** `logout`. */
import { localAdminUrl } from '../../settings/table.js';
import { gatewayOf } from '../admin-client.js';
import type { LocalCommand } from '../command.js';
import { gatewayOptions } from '../options.js';
import { EXIT_FAILED } from '../report.js';

export const logout: LocalCommand = {
  name: 'logout',
  about: 'Forgets what "login" has left for a gateway, and has the issuer take its tokens back.',
  options: gatewayOptions,
  settingsOf: 'operator',
  developmentSettings: true,
  async run({ options, settings, print }) {
    const { KeptLogins } = await import('../login/kept-logins.js');
    const { logOut } = await import('../login/login.js');
    const { env } = process;
    const { url } = await gatewayOf({ options, env, settingsUrl: localAdminUrl(await settings()) });
    const { told, stayGood } = await logOut({ logins: new KeptLogins(env), gateway: url });
    print(`${told}\n`);
    return stayGood ? EXIT_FAILED : undefined;
  },
};
