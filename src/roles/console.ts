/** What the console takes from the settings and from the place that the control plane runs in. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Assets } from '../console/assets.js';
import { createFile } from '../files/replace.js';
import { formatAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';
import type { SignInSettings } from '../console/console.js';
import type { Settings } from '../settings/table.js';
import { localAdminUrl } from './local-url.js';

export interface ConsoleParts {
  readonly signIn: SignInSettings;
  readonly assets: Assets;
}

/** undefined: no issuer is named with which people could sign in, and there is no console. */
export async function consoleParts(
  settings: Settings,
  secret: () => Promise<Uint8Array>,
): Promise<ConsoleParts | undefined> {
  const signIn = await signInSettings(settings, secret);
  return signIn && { signIn, assets: await Assets.load() };
}

async function signInSettings(
  settings: Settings,
  secret: () => Promise<Uint8Array>,
): Promise<SignInSettings | undefined> {
  const { console: own } = settings;
  const issuer = issuerOf(settings);
  if (!issuer) return undefined;
  return {
    ...issuer,
    clientSecret: own.clientSecretFile && (await readSecret(own.clientSecretFile)),
    scope: own.scope,
    publicUrl: new URL(own.publicUrl ?? localAdminUrl(settings)),
    secret: await secret(),
    sessionTtlMs: own.sessionTtlMs,
  };
}

function issuerOf({ console: own, issuer, oktaClientId, oktaIssuer }: Settings) {
  const url = own.issuer ?? oktaIssuer;
  const clientId = own.clientId ?? oktaClientId;
  if (url !== undefined && clientId !== undefined) return { issuer: url, clientId };
  if (url !== undefined || !issuer.enabled) return undefined;
  return {
    issuer: `http://${formatAddress(issuer.listenAddr)}`,
    clientId: own.clientId ?? issuer.clientId,
  };
}

async function readSecret(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new GatewayError('SETTINGS_INVALID', `console.client_secret_file ${path} is unreadable`, {
      cause: error,
    });
  }
}

const SECRET_BYTES = 32;

/** Random bytes that outlive this process. Of several processes that make them at once, one wins. */
export async function secretFile(path: string): Promise<Uint8Array> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await createFile(path, randomBytes(SECRET_BYTES));
  const secret = await readFile(path);
  if (secret.length >= SECRET_BYTES) return secret;
  throw new GatewayError(
    'SETTINGS_INVALID',
    `${path} must hold ${SECRET_BYTES} random bytes: delete it, and it is made again.`,
  );
}
