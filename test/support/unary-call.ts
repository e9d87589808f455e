import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { type CallOptions, type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { methodDefinition } from '../../src/lib/grpc/channels.js';
import { fromServiceError } from '../../src/lib/grpc/status-details.js';

/** One call. Rejects with the GatewayError that a refusal carries. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageInitShape<I>,
  { headers = {}, ...options }: CallOptions & { readonly headers?: Record<string, string> } = {},
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(method.input, message),
      metadata,
      options,
      (error: ServiceError | null, response?: MessageShape<O>) => {
        if (response) resolve(response);
        else reject(error ? fromServiceError(error) : new Error('no answer'));
      },
    );
  });
}
