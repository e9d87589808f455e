/**
 * How the gateway knows its own resources again. Labels find them; the signature proves that the
 * gateway made them, because whoever may make resources in a team's namespace may set any label.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KubernetesApi } from './kubernetes-api.js';
import { hasStatus } from './http.js';
import type { KubernetesObject, ObjectMeta } from './objects.js';

export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'spark-gateway';
/** Which gateway, where several share a cluster. */
export const GATEWAY_LABEL = 'spark-gateway.io/gateway';
export const SIGNATURE_ANNOTATION = 'spark-gateway.io/signature';
/** Hash of the template that a resource was made from. */
export const TEMPLATE_ANNOTATION = 'spark-gateway.io/template';
/** The variant of its pool's drivers that a resource is for. */
export const VARIANT_ANNOTATION = 'spark-gateway.io/variant';
/** The driver asks for a token of its own, see `driverToken`. */
export const TOKEN_ANNOTATION = 'spark-gateway.io/driver-token';
/** On a driver with a fence: where it has it from. */
export const FENCE_ANNOTATION = 'spark-gateway.io/driver-fence';

/** What Spark's server reads its token from where spark.connect.authenticate.token is not set. */
export const TOKEN_VARIABLE = 'SPARK_CONNECT_AUTHENTICATE_TOKEN';

/** Name of the Secret that holds a driver's own token, under the key `token`. */
export function tokenSecretName(resource: string): string {
  return `${resource}-token`;
}

export function ownershipSelector(gateway: string): string {
  return `${MANAGED_BY_LABEL}=${MANAGED_BY},${GATEWAY_LABEL}=${gateway}`;
}

export function ownershipLabels(gateway: string): Record<string, string> {
  return { [MANAGED_BY_LABEL]: MANAGED_BY, [GATEWAY_LABEL]: gateway };
}

/** The gateway that the object says was its maker; undefined for one that no gateway made. */
export function gatewayOf({ labels = {} }: ObjectMeta): string | undefined {
  return labels[MANAGED_BY_LABEL] === MANAGED_BY ? labels[GATEWAY_LABEL] : undefined;
}

export function signature(
  key: GatewayKey,
  kind: string,
  namespace: string,
  name: string,
  variant: string | undefined,
): string {
  return key.sign('resource', ...signed(kind, namespace, name, variant));
}

/** Whether this gateway made the object under this very name, for the variant that it says. */
export function isOurs(key: GatewayKey, kind: string, { metadata }: KubernetesObject): boolean {
  const { annotations = {}, name, namespace = '' } = metadata;
  const given = annotations[SIGNATURE_ANNOTATION] ?? '';
  const variant = annotations[VARIANT_ANNOTATION];
  return key.verify(given, 'resource', ...signed(kind, namespace, name, variant));
}

function signed(...parts: readonly (string | undefined)[]): readonly string[] {
  return parts.filter((part) => part !== undefined);
}

/** The token that a driver of ours expects (`spark.connect.authenticate.token`). It is stored nowhere but in the driver's own Secret. */
export function driverToken(key: GatewayKey, namespace: string, resource: string): string {
  return key.sign('driver-token', namespace, resource);
}

/** The UID of the object's controller. */
export function controllerOf({ ownerReferences }: ObjectMeta): string | undefined {
  return ownerReferences?.find(({ controller }) => controller === true)?.uid;
}

// The gateway's own secret: it marks what the gateway made, and tokens of drivers follow from it.

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

  verify(mac: string, purpose: string, ...names: readonly string[]): boolean {
    const expected = Buffer.from(this.sign(purpose, ...names));
    const given = Buffer.from(mac);
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
