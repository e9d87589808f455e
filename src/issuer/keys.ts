/** Signing keys of the development issuer, kept in a file so that tokens outlive a restart. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  calculateJwkThumbprint,
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose';
import { readTextIfThere } from '../files/read.js';
import { createFile, replaceFile } from '../files/replace.js';

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
export class IssuerKeys {
  readonly #path: string;
  #keys: readonly JWK[];

  private constructor(path: string, keys: readonly JWK[]) {
    this.#path = path;
    this.#keys = keys;
  }

  /** Reads the keys, or makes the first one. Of several processes that do so at once, one wins. */
  static async open(path: string): Promise<IssuerKeys> {
    const existing = await readKeys(path);
    if (existing) return new IssuerKeys(path, existing);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await createFile(path, JSON.stringify([await makeKey()]));
    return new IssuerKeys(path, (await readKeys(path)) ?? []);
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
