/** The gateway's own secret: it marks what the gateway made, and tokens of drivers follow from it. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KubernetesApi } from './api.js';
import { hasStatus } from './error.js';
import type { KubernetesObject } from './types.js';

const KEY_BYTES = 32;

export class GatewayKey {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    if (key.length < KEY_BYTES) throw new Error(`The gateway's key has fewer than 32 bytes.`);
    this.#key = key;
  }

  /** A value that only the holder of the key can tell, for this purpose and these names. */
  sign(purpose: string, ...names: readonly string[]): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([purpose, ...names]))
      .digest('base64url');
  }

  verify(signature: string, purpose: string, ...names: readonly string[]): boolean {
    const expected = Buffer.from(this.sign(purpose, ...names));
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}

/** Reads the key from its Secret, which is made with a random key if there is none. */
export async function loadGatewayKey(
  api: Pick<KubernetesApi, 'request'>,
  namespace: string,
  name: string,
): Promise<GatewayKey> {
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  try {
    return keyOf(await api.request<Secret>({ path: `${path}/${name}` }));
  } catch (error) {
    if (!hasStatus(error, 404)) throw error;
  }
  try {
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
      type: 'Opaque',
      data: { key: randomBytes(KEY_BYTES).toString('base64') },
    };
    return keyOf(await api.request<Secret>({ method: 'POST', path, body }));
  } catch (error) {
    // Another replica was first.
    if (!hasStatus(error, 409)) throw error;
    return keyOf(await api.request<Secret>({ path: `${path}/${name}` }));
  }
}

interface Secret extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

function keyOf({ data, metadata }: Secret): GatewayKey {
  const key = Buffer.from(data?.['key'] ?? '', 'base64');
  if (key.length < KEY_BYTES) {
    throw new Error(
      `Secret ${metadata.name} must hold at least 32 random bytes under "key": correct it, or delete it and a new one is made.`,
    );
  }
  return new GatewayKey(key);
}
