/** Tokens as Okta makes them, for sample people. */
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { formatAddress, type TcpAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';
import { ALGORITHM, type IssuerKeys } from './keys.js';
import { findPerson, people, type Person } from './people.js';

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
  const person = known(user);
  return sign(keys, options, {
    ver: 1,
    jti: `AT.${randomUUID()}`,
    aud: options.audience,
    cid: options.clientId,
    uid: person.user,
    scp: ['openid', 'spark'],
    ...claimsOf(person),
    ...claims,
  });
}

/** An ID token (OpenID Connect Core 1.0, section 2) of a sample person. */
export async function mintIdToken(
  keys: IssuerKeys,
  user: string,
  options: Omit<TokenOptions, 'audience'>,
  nonce: string | undefined,
): Promise<string> {
  const person = known(user);
  return sign(keys, options, {
    jti: `ID.${randomUUID()}`,
    aud: options.clientId,
    name: person.user,
    auth_time: Math.floor(options.issuedAtMs / 1000),
    ...(nonce === undefined ? {} : { nonce }),
    ...claimsOf(person),
  });
}

function known(user: string): Person {
  const person = findPerson(user);
  if (!person) throw new GatewayError('SETTINGS_INVALID', unknownPerson(user));
  return person;
}

function claimsOf({ subject, groups, team }: Person) {
  return { sub: subject, groups, ...(team === undefined ? {} : { team }) };
}

async function sign(
  keys: IssuerKeys,
  { issuer, issuedAtMs, ttlMs }: Omit<TokenOptions, 'audience'>,
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { kid, privateKey } = await keys.signingKey();
  const issuedAt = Math.floor(issuedAtMs / 1000);
  return new SignJWT({
    iss: issuer,
    iat: issuedAt,
    exp: issuedAt + Math.ceil(ttlMs / 1000),
    ...claims,
  })
    .setProtectedHeader({ alg: ALGORITHM, kid, typ: 'JWT' })
    .sign(privateKey);
}

export function unknownPerson(user: string): string {
  return `there is no ${JSON.stringify(user)}; there are ${people.map((person) => person.user).join(', ')}`;
}
