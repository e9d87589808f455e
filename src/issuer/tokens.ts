/** Tokens as Okta makes them, for sample people. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  SignJWT,
  calculateJwkThumbprint,
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose';
import { readTextIfThere, createFile, replaceFile } from '../lib/files/files.js';
import { formatAddress, type TcpAddress } from '../model/address.js';
import { GatewayError } from '../model/errors.js';

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
  keys: DevelopmentKeys,
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
  keys: DevelopmentKeys,
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
  keys: DevelopmentKeys,
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

// Signing keys of the development issuer, kept in a file so that tokens outlive a restart.

export const ALGORITHM = 'RS256';

/** Their file's name within the state directory. */
export const ISSUER_KEYS_FILE = 'issuer-keys.json';

/** Keys that still verify beside the one that signs. */
const PREVIOUS_KEYS = 2;

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
}

/** A set of private keys in a file, the newest first. */
export class DevelopmentKeys {
  readonly #path: string;
  #keys: readonly JWK[];

  private constructor(path: string, keys: readonly JWK[]) {
    this.#path = path;
    this.#keys = keys;
  }

  /** Reads the keys, or makes the first one. Of several processes that do so at once, one wins. */
  static async open(path: string): Promise<DevelopmentKeys> {
    const existing = await readKeys(path);
    if (existing) return new DevelopmentKeys(path, existing);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await createFile(path, JSON.stringify([await makeKey()]));
    return new DevelopmentKeys(path, (await readKeys(path)) ?? []);
  }

  async signingKey(): Promise<SigningKey> {
    const [newest] = this.#keys;
    const imported = newest && (await importJWK(newest, ALGORITHM));
    if (!newest?.kid || !imported || imported instanceof Uint8Array) {
      throw new Error(`${this.#path} holds no key: delete it, and a new one is made`);
    }
    return { kid: newest.kid, privateKey: imported };
  }

  /** The public keys, RFC 7517. */
  jwks(): { readonly keys: readonly JWK[] } {
    return {
      keys: this.#keys.map(({ kid, kty, n, e }) => ({
        ...(kid === undefined ? {} : { kid }),
        ...(kty === undefined ? {} : { kty }),
        ...(n === undefined ? {} : { n }),
        ...(e === undefined ? {} : { e }),
        alg: ALGORITHM,
        use: 'sig',
      })),
    };
  }

  /** Signs with a new key from now on. The former ones still verify, unless they are revoked. */
  async rotate(options: { readonly revoke: boolean }): Promise<void> {
    const kept = options.revoke ? [] : this.#keys.slice(0, PREVIOUS_KEYS);
    const keys = [await makeKey(), ...kept];
    await replaceFile(this.#path, JSON.stringify(keys));
    this.#keys = keys;
  }
}

async function makeKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: ALGORITHM };
}

async function readKeys(path: string): Promise<readonly JWK[] | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  const parsed: unknown = JSON.parse(text);
  return Array.isArray(parsed) ? parsed : [];
}

/** Sample people of the development issuer; config/development/policy.yaml says what they may do. */
interface Person {
  /** As asked for: `/token?user=alice`. */
  readonly user: string;
  /** The `sub` claim. */
  readonly subject: string;
  readonly groups: readonly string[];
  /** The `team` claim; undefined: none. */
  readonly team: string | undefined;
}

export const people: readonly Person[] = [
  samplePerson('alice', 'data', ['everyone', 'data-engineers']),
  samplePerson('bob', 'data', ['everyone', 'data-engineers']),
  samplePerson('carol', 'ml', ['everyone', 'ml-engineers']),
  samplePerson('dave', undefined, ['everyone']),
  { user: 'nightly-reports', subject: 'nightly-reports', groups: ['services'], team: undefined },
];

export function findPerson(user: string): Person | undefined {
  return people.find((candidate) => candidate.user === user);
}

function samplePerson(user: string, team: string | undefined, groups: readonly string[]): Person {
  return { user, subject: `${user}@example.com`, groups, team };
}
