/** What the sign-in of people at a page takes from the settings, and from the folder of its process. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createFile } from '../lib/files/files.js';
import { formatAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';
import type { Settings } from '../settings/table.js';

interface Provider {
  readonly issuer: string | undefined;
  readonly clientId: string | undefined;
}

/**
 * With whom people sign in, and as which client: as `own` says, else okta_issuer, else the development
 * issuer. undefined: with nobody.
 */
export function issuerOf(
  { issuer, oktaClientId, oktaIssuer }: Settings,
  own: Provider,
): { readonly issuer: string; readonly clientId: string } | undefined {
  const url = own.issuer ?? oktaIssuer;
  const clientId = own.clientId ?? oktaClientId;
  if (url !== undefined && clientId !== undefined) return { issuer: url, clientId };
  if (url !== undefined || !issuer.enabled) return undefined;
  return {
    issuer: `http://${formatAddress(issuer.listenAddr)}`,
    clientId: own.clientId ?? issuer.clientId,
  };
}

/** Rejects with SETTINGS_INVALID when the file of that setting cannot be read. */
export async function clientSecretOf(
  path: string | undefined,
  setting: string,
): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new GatewayError('SETTINGS_INVALID', `${setting} ${path} is unreadable`, { cause });
  }
}

const SECRET_BYTES = 32;

/** Random bytes that outlive this process. Of several processes that make them at once, one wins. */
export async function secretFile(path: string): Promise<Uint8Array> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await createFile(path, randomBytes(SECRET_BYTES));
  return givenSecret(path);
}

/** The same of a file that somebody else has made. Rejects with SETTINGS_INVALID. */
export async function givenSecret(path: string): Promise<Uint8Array> {
  const secret = await readFile(path).catch((cause: unknown) => {
    throw new GatewayError('SETTINGS_INVALID', `${path} is unreadable`, { cause });
  });
  if (secret.length >= SECRET_BYTES) return secret;
  throw new GatewayError(
    'SETTINGS_INVALID',
    `${path} must hold ${SECRET_BYTES} random bytes at least.`,
  );
}
