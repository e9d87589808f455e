/** One call of the control plane. */
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { methodDefinition } from '../../lib/grpc/channels.js';
import { fromServiceError } from '../../lib/grpc/status-details.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError } from '../../model/errors.js';
import { TRACE_HEADER } from '../../model/names.js';
import { abortReason } from './assignment-cache.js';

export interface CallOptions {
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  readonly traceparent?: string | undefined;
  /** For a call that is taken in long before it is answered: within this time its headers must come. */
  readonly heardWithin?: { readonly ms: number; readonly clock: Clock };
}

/**
 * Rejects with the GatewayError that the control plane sent, with CONTROL_PLANE_UNAVAILABLE if it
 * cannot be reached, or with the signal's reason.
 */
export function callControlPlane<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageShape<I>,
  { deadline, signal, traceparent, heardWithin }: CallOptions,
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
    let isUnheard = false;
    const unheard = heardWithin?.clock.setTimer(heardWithin.ms, () => {
      isUnheard = true;
      cancel();
    });
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      metadata,
      { deadline },
      (error: ServiceError | null, response?: MessageShape<O>) => {
        signal.removeEventListener('abort', cancel);
        unheard?.cancel();
        if (response) resolve(response);
        else if (signal.aborted) reject(abortReason(signal));
        else if (isUnheard) reject(silent());
        else reject(error ? fromServiceError(error) : new Error('A call ended without an answer.'));
      },
    );
    if (unheard) call.on('metadata', () => unheard.cancel());
    signal.addEventListener('abort', cancel, { once: true });
  });
}

function silent(): GatewayError {
  return new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'The control plane does not answer.');
}
