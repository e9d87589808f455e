/**
 * How the gateway knows its own resources again. Labels find them; the signature proves that the
 * gateway made them, because whoever may make resources in a team's namespace may set any label.
 */
import type { GatewayKey } from './gateway-key.js';
import type { KubernetesObject, ObjectMeta } from './types.js';

export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'spark-gateway';
/** Which gateway, where several share a cluster. */
const GATEWAY_LABEL = 'spark-gateway.io/gateway';
export const SIGNATURE_ANNOTATION = 'spark-gateway.io/signature';
/** Hash of the template that a resource was made from. */
export const TEMPLATE_ANNOTATION = 'spark-gateway.io/template';
/** The variant of its pool's drivers that a resource is for. */
export const VARIANT_ANNOTATION = 'spark-gateway.io/variant';
/** The driver asks for a token of its own, see `driverToken`. */
export const TOKEN_ANNOTATION = 'spark-gateway.io/driver-token';

export function ownershipSelector(gateway: string): string {
  return `${MANAGED_BY_LABEL}=${MANAGED_BY},${GATEWAY_LABEL}=${gateway}`;
}

export function ownershipLabels(gateway: string): Record<string, string> {
  return { [MANAGED_BY_LABEL]: MANAGED_BY, [GATEWAY_LABEL]: gateway };
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
