/** What operators want of a driver, as `spec.drain` of its record says it. */
import { MERGE_PATCH, type KubernetesApi } from '../kubernetes/api.js';
import { hasStatus } from '../kubernetes/error.js';
import { GatewayError } from '../model/errors.js';
import { API_VERSION } from './kubernetes-codec.js';

const TIMEOUT_MS = 5_000;

/** Takes the place of what `spec.drain` said before. Rejects with DRIVER_UNKNOWN, or with what the API server says. */
export async function writeDrain(
  { api, namespace }: { readonly api: Pick<KubernetesApi, 'request'>; readonly namespace: string },
  driverUid: string,
  deadlineMs: number | undefined,
): Promise<void> {
  const deadline = deadlineMs === undefined ? null : new Date(deadlineMs).toISOString();
  try {
    await api.request({
      method: 'PATCH',
      path: `/apis/${API_VERSION}/namespaces/${namespace}/sparkdrivers/${encodeURIComponent(driverUid)}`,
      contentType: MERGE_PATCH,
      timeoutMs: TIMEOUT_MS,
      body: { spec: { drain: { deadline } } },
    });
  } catch (error) {
    if (!hasStatus(error, 404)) throw error;
    throw new GatewayError('DRIVER_UNKNOWN', `There is no driver ${driverUid}.`, { cause: error });
  }
}
