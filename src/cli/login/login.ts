/** `login` and `logout`. */
import { issuerUrl } from '../../lib/yaml/text-types.js';
import type { LoginView, MeView } from '../../model/admin-api.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { AdminApi } from '../command.js';
import { keptOf, type KeptLogins } from './kept-logins.js';
import { type DeviceLoginParts, deviceLogin, discoverProvider, revokeTokens } from './provider.js';

export interface LoginParts extends DeviceLoginParts {
  readonly logins: KeptLogins;
  /** Where the control plane answers. */
  readonly gateway: URL;
}

/** Of the command line; what is missing is asked of the gateway. */
export interface WrittenProvider {
  readonly issuer: string | undefined;
  readonly clientId: string | undefined;
  readonly scope: string | undefined;
}

/**
 * Logs a person in and keeps it. `api` asks the gateway with a token, or without one. Rejects with LOGIN_FAILED,
 * ISSUER_UNREACHABLE, as the gateway does, or with ARGUMENT_INVALID.
 * @returns what to tell
 */
export async function logIn(
  written: WrittenProvider,
  api: (token: string | undefined) => AdminApi,
  parts: LoginParts,
): Promise<string> {
  const { logins, gateway, now } = parts;
  const { scope, ...named } = await providerOf(written, api(undefined));
  const provider = await discoverProvider(named);
  const login = keptOf(named, await deviceLogin(provider, scope, parts), now());
  // Who is not known to the gateway learns it now, and not with the next command.
  const who = await whoIs(api(login.accessToken));
  await logins.put(gateway, login);
  const until = login.refreshToken === undefined ? ` until ${isoOf(login.goodUntilMs)}` : '';
  return `Logged in to ${gateway.origin}${who === undefined ? '' : ` as ${who}`}${until}.`;
}

/**
 * Forgets the login, and has its tokens taken back where the issuer does that. Whatever the issuer says, nothing is
 * left on this machine.
 * @returns what to tell, and whether the tokens may be good still
 */
export async function logOut({ logins, gateway }: Pick<LoginParts, 'logins' | 'gateway'>): Promise<{
  readonly told: string;
  readonly stayGood: boolean;
}> {
  const kept = await logins.get(gateway);
  await logins.remove(gateway);
  if (!kept) return { told: `Nobody was logged in to ${gateway.origin}.`, stayGood: false };
  const left = `Logged out of ${gateway.origin}`;
  const until = isoOf(kept.goodUntilMs);
  try {
    const revoked = await revokeTokens(await discoverProvider(kept), kept);
    return revoked
      ? { told: `${left}.`, stayGood: false }
      : {
          told: `${left}. Its issuer takes no tokens back: the one that was kept is good until ${until}.`,
          stayGood: false,
        };
  } catch (error) {
    const told = `${left}, but its issuer has not taken the tokens back: ${reasonOf(error)} The one that was kept is good until ${until}.`;
    return { told, stayGood: true };
  }
}

async function providerOf(
  { issuer, clientId, scope }: WrittenProvider,
  api: AdminApi,
): Promise<LoginView> {
  const found =
    issuer === undefined || clientId === undefined || scope === undefined
      ? await offered(api, issuer !== undefined && clientId !== undefined)
      : undefined;
  const named = {
    issuer: issuer ?? found?.issuer ?? '',
    clientId: clientId ?? found?.clientId ?? '',
    scope: scope ?? found?.scope ?? 'openid',
  };
  if (issuerUrl.parse(named.issuer, '') === undefined) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `The issuer to log in with is ${JSON.stringify(named.issuer)}: allowed is ${issuerUrl.allowed}`,
    );
  }
  return named;
}

/** What the gateway says of it; undefined where it says nothing and nothing more is needed. */
async function offered(api: AdminApi, isEnough: boolean): Promise<LoginView | undefined> {
  try {
    return await api.get<LoginView>('login');
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'HTTP_PATH_UNKNOWN') throw error;
    if (isEnough) return undefined;
    throw new GatewayError(
      'ARGUMENT_INVALID',
      'This gateway names no issuer to log in with (settings console.issuer, console.login_client_id): give --issuer and --client-id.',
      { cause: error },
    );
  }
}

/** undefined where the gateway has no address that says so. */
async function whoIs(api: AdminApi): Promise<string | undefined> {
  try {
    return (await api.get<MeView>('me')).principal.subject;
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'HTTP_PATH_UNKNOWN') return undefined;
    throw error;
  }
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
