import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import {
  AssignmentService,
  AssignRequestSchema,
  FollowRequestSchema,
  type AssignRequest,
  type Assignment,
  type AssignResponse,
  type FollowRequest,
  type FollowResponse,
  ReportStatusRequestSchema,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { methodDefinition } from '../../src/lib/grpc/channels.js';
import { fromServiceError } from '../../src/lib/grpc/status-details.js';

const definitions = {
  assign: methodDefinition(AssignmentService.method.assign),
  follow: methodDefinition(AssignmentService.method.follow),
  reportStatus: methodDefinition(AssignmentService.method.reportStatus),
};

/** Starts a grpc-js server on a free port of `address`; resolves with `address:port`. */
export async function listen(server: Server, address: string): Promise<string> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${address}:0`, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  return `${address}:${port}`;
}

/** A sidecar's end of the AssignmentService. */
export class AssignmentClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure());
  }

  /** Rejects with the GatewayError that the server sent. */
  assign(
    request: MessageInitShape<typeof AssignRequestSchema>,
    { deadlineMs = 30_000, signal = new AbortController().signal } = {},
  ): Promise<Assignment | undefined> {
    const { path, requestSerialize, responseDeserialize } = definitions.assign;
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<AssignRequest, AssignResponse>(
        path,
        requestSerialize,
        responseDeserialize,
        create(AssignRequestSchema, request),
        { deadline: Date.now() + deadlineMs },
        (error, response) => {
          if (error) reject(fromServiceError(error));
          else resolve(response?.assignment);
        },
      );
      signal.addEventListener('abort', () => call.cancel());
    });
  }

  /** Rejects with the GatewayError that the server sent. */
  reportStatus(request: MessageInitShape<typeof ReportStatusRequestSchema>): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = definitions.reportStatus;
    return new Promise((resolve, reject) => {
      const message = create(ReportStatusRequestSchema, request);
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        (error) => {
          if (error) reject(fromServiceError(error));
          else resolve();
        },
      );
    });
  }

  follow(): FollowStream {
    const { path, requestSerialize, responseDeserialize } = definitions.follow;
    return new FollowStream(
      this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize),
    );
  }

  close(): void {
    this.#client.close();
  }
}

export class FollowStream {
  readonly #call: ClientDuplexStream<FollowRequest, FollowResponse>;
  readonly #received: FollowResponse[] = [];
  #waiting: ((response: FollowResponse) => void) | undefined;
  /** Resolves when the stream has ended, with the error if it ended with one. */
  readonly ended: Promise<ServiceError | undefined>;

  constructor(call: ClientDuplexStream<FollowRequest, FollowResponse>) {
    this.#call = call;
    call.on('data', (response: FollowResponse) => {
      if (this.#waiting) this.#waiting(response);
      else this.#received.push(response);
      this.#waiting = undefined;
    });
    this.ended = new Promise((resolve) => {
      call.on('error', (error: ServiceError) => resolve(error));
      call.on('end', () => resolve(undefined));
    });
  }

  send(request: MessageInitShape<typeof FollowRequestSchema>): void {
    this.#call.write(create(FollowRequestSchema, request));
  }

  next(): Promise<FollowResponse> {
    const first = this.#received.shift();
    if (first) return Promise.resolve(first);
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  cancel(): void {
    this.#call.cancel();
  }
}
