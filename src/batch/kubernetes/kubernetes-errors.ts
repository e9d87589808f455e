/** What API servers answer, as whoever asked for a job is told it. */
import { isLater, KubernetesError } from '../../lib/kubernetes/http.js';
import { GatewayError, reasonOf } from '../../model/errors.js';

/** What an API server does not answer is doubt; what it refuses is said as it is. */
export async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw asGatewayError(error);
  }
}

export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const message = reasonOf(error);
  if (!(error instanceof KubernetesError)) {
    return new GatewayError('CONTROL_PLANE_UNAVAILABLE', message, { cause: error });
  }
  if (error.status === 403 && /exceeded quota/i.test(message)) {
    return new GatewayError('JOB_LIMIT_EXCEEDED', message, { cause: error, retryAfterMs: 10_000 });
  }
  const isDoubt = error.verdict !== 'refused' || error.status === 401 || error.status === 408;
  return new GatewayError(isDoubt ? 'CONTROL_PLANE_UNAVAILABLE' : 'BATCH_REFUSED', message, {
    cause: error,
    ...(isLater(error) ? { retryAfterMs: error.retryAfterMs ?? 1_000 } : {}),
  });
}
