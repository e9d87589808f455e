/** How the gateway's batch objects in a cluster are called, and found again. */
import {
  GATEWAY_LABEL,
  type GatewayKey,
  MANAGED_BY_LABEL,
  signature,
  SIGNATURE_ANNOTATION,
} from '../../lib/kubernetes/ownership.js';
import type { KubernetesObject } from '../../lib/kubernetes/objects.js';

/** Of batch jobs: what makes and deletes drivers of Spark Connect goes by another value. */
export const BATCH_MANAGED_BY = 'spark-gateway-batch';
/** On all that belongs to a job, its pods too: its id. */
export const JOB_LABEL = 'spark-gateway.io/job';
export const TEAM_LABEL = 'spark-gateway.io/team';
export const ENVIRONMENT_LABEL = 'spark-gateway.io/environment';
export const USER_LABEL = 'spark-gateway.io/user';
export const JOB_NAME_LABEL = 'spark-gateway.io/job-name';
/** SHA-256 of the job file that a ConfigMap holds. */
export const CONTENT_ANNOTATION = 'spark-gateway.io/content';
/** Of all job objects of one gateway, pods included. */
export function jobsSelector(gateway: string): string {
  return `${MANAGED_BY_LABEL}=${BATCH_MANAGED_BY},${GATEWAY_LABEL}=${gateway},${JOB_LABEL}`;
}

export function jobSelector(gateway: string, id: string): string {
  return `${jobsSelector(gateway)}=${id}`;
}

export function jobLabels(gateway: string, id: string): Record<string, string> {
  return { [MANAGED_BY_LABEL]: BATCH_MANAGED_BY, [GATEWAY_LABEL]: gateway, [JOB_LABEL]: id };
}

export function configMapName(id: string): string {
  return `${id}-job`;
}

/** As the operator names it. */
export function driverPodName(id: string): string {
  return `${id}-driver`;
}

export function jobSignature(
  key: GatewayKey,
  kind: string,
  namespace: string,
  name: string,
): Record<string, string> {
  return { [SIGNATURE_ANNOTATION]: signature(key, `batch ${kind}`, namespace, name, undefined) };
}

/** Whether this gateway made the object under this name: labels alone may be set by anybody. */
export function isOwnJobObject(
  key: GatewayKey,
  kind: string,
  { metadata }: KubernetesObject,
): boolean {
  const { annotations = {}, name, namespace = '' } = metadata;
  const expected = signature(key, `batch ${kind}`, namespace, name, undefined);
  return annotations[SIGNATURE_ANNOTATION] === expected;
}
