/** One call of `AssignmentService.Assign`. */
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  AssignmentService,
  type AssignRequest,
  type AssignResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { methodDefinition } from '../../grpc/service.js';
import { fromServiceError } from '../../grpc/status-details.js';
import { TRACE_HEADER } from '../../model/names.js';
import { abortReason } from './abort-reason.js';

const method = methodDefinition(AssignmentService.method.assign);

/**
 * `deadline`: milliseconds since the epoch. Rejects with the GatewayError that the control plane sent,
 * with CONTROL_PLANE_UNAVAILABLE if it cannot be reached, or with the signal's reason.
 */
export function callAssign(
  client: Client,
  message: AssignRequest,
  deadline: number,
  signal: AbortSignal,
  traceparent?: string,
): Promise<AssignResponse> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const metadata = new Metadata();
    if (traceparent !== undefined) metadata.set(TRACE_HEADER, traceparent);
    const cancel = () => call.cancel();
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      message,
      metadata,
      { deadline },
      (error: ServiceError | null, response?: AssignResponse) => {
        signal.removeEventListener('abort', cancel);
        if (response) resolve(response);
        else if (signal.aborted) reject(abortReason(signal));
        else reject(error ? fromServiceError(error) : new Error('A call ended without an answer.'));
      },
    );
    signal.addEventListener('abort', cancel, { once: true });
  });
}
