/** One call of the control plane. */
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { methodDefinition } from '../../grpc/service.js';
import { fromServiceError } from '../../grpc/status-details.js';
import { TRACE_HEADER } from '../../model/names.js';
import { abortReason } from './abort-reason.js';

export interface CallOptions {
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  readonly traceparent?: string | undefined;
}

/**
 * Rejects with the GatewayError that the control plane sent, with CONTROL_PLANE_UNAVAILABLE if it
 * cannot be reached, or with the signal's reason.
 */
export function callControlPlane<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageShape<I>,
  { deadline, signal, traceparent }: CallOptions,
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const metadata = new Metadata();
    if (traceparent !== undefined) metadata.set(TRACE_HEADER, traceparent);
    const cancel = () => call.cancel();
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      metadata,
      { deadline },
      (error: ServiceError | null, response?: MessageShape<O>) => {
        signal.removeEventListener('abort', cancel);
        if (response) resolve(response);
        else if (signal.aborted) reject(abortReason(signal));
        else reject(error ? fromServiceError(error) : new Error('A call ended without an answer.'));
      },
    );
    signal.addEventListener('abort', cancel, { once: true });
  });
}
