/** Tokens as Okta makes them, for sample people. */
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { formatAddress, type TcpAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';
import { ALGORITHM, type IssuerKeys } from './keys.js';
import { findPerson, people } from './people.js';

export interface TokenOptions {
  /** The `iss` claim. */
  readonly issuer: string;
  readonly audience: string;
  /** The `cid` claim. */
  readonly clientId: string;
  readonly issuedAtMs: number;
  readonly ttlMs: number;
}

/** The `iss` of an issuer that listens here. */
export function issuerUrl(address: TcpAddress): string {
  return `http://${formatAddress(address)}`;
}

/**
 * A signed access token of a sample person. `claims` adds to, or takes the place of, the person's.
 * Rejects with SETTINGS_INVALID for a user that there is not.
 */
export async function mintToken(
  keys: IssuerKeys,
  user: string,
  options: TokenOptions,
  claims: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const person = findPerson(user);
  if (!person) throw new GatewayError('SETTINGS_INVALID', unknownPerson(user));
  const { kid, privateKey } = await keys.signingKey();
  const issuedAt = Math.floor(options.issuedAtMs / 1000);
  return new SignJWT({
    ver: 1,
    jti: `AT.${randomUUID()}`,
    iss: options.issuer,
    aud: options.audience,
    iat: issuedAt,
    exp: issuedAt + Math.ceil(options.ttlMs / 1000),
    cid: options.clientId,
    uid: person.user,
    scp: ['openid', 'spark'],
    sub: person.subject,
    groups: person.groups,
    ...(person.team === undefined ? {} : { team: person.team }),
    ...claims,
  })
    .setProtectedHeader({ alg: ALGORITHM, kid, typ: 'JWT' })
    .sign(privateKey);
}

export function unknownPerson(user: string): string {
  return `there is no ${JSON.stringify(user)}; there are ${people.map((person) => person.user).join(', ')}`;
}
