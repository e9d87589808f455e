/** Values that a browser keeps for us, and can neither read nor change. */
import { hkdfSync } from 'node:crypto';
import { EncryptJWT, errors, jwtDecrypt, type JWTPayload } from 'jose';
import type { Clock } from '../../model/clock.js';

/** Seals with AES-256-GCM. Replicas with the same secret open what another has sealed. */
export class Sealer {
  readonly #key: Uint8Array;
  readonly #clock: Clock;

  /** @param secret at least 32 random bytes */
  constructor(secret: Uint8Array, clock: Clock) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'console cookies', 32));
    this.#clock = clock;
  }

  /** `purpose` keeps a value from being taken for one of another kind. */
  seal(
    purpose: string,
    value: Readonly<Record<string, unknown>>,
    goodUntilMs: number,
  ): Promise<string> {
    return new EncryptJWT({ ...value })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setAudience(purpose)
      .setExpirationTime(Math.floor(goodUntilMs / 1000))
      .encrypt(this.#key);
  }

  /** undefined for what was not sealed with this secret for this purpose, or is over. */
  async open(purpose: string, sealed: string): Promise<JWTPayload | undefined> {
    try {
      const { payload } = await jwtDecrypt(sealed, this.#key, {
        audience: purpose,
        requiredClaims: ['exp'],
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
        currentDate: new Date(this.#clock.now()),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}
