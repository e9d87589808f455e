/** Asks an ext_authz server as Envoy does, with generated code throughout. */
import { create, fromBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import {
  Authorization,
  CheckRequestSchema,
  type CheckRequest,
  type CheckResponse,
} from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import type { HeaderValueOption } from '#gen/envoy/config/core/v3/base_pb.js';
import { ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '#gen/google/rpc/status_pb.js';
import { methodDefinition } from '../../src/lib/grpc/channels.js';
import { AccessMetadata } from '../../src/model/names.js';
import { encode, frame } from './spark-messages.js';

export const SESSION = '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10';
export const NEW_SESSION = '7d1f2e10-7c1d-4a55-9a3c-0b6c6a3e5d0d';

export interface CheckOptions {
  /** Last segment of the path. Default ExecutePlan. */
  readonly method?: string;
  readonly path?: string;
  /** On top of team data in prod. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly token?: string;
  readonly body?: Buffer;
  readonly sourceAddress?: string;
  readonly principal?: string;
  readonly certificate?: string;
}

/** The first message of an RPC of `SESSION`. */
export function sparkBody(userId = 'ann@example.com', session = SESSION): Buffer {
  return frame(encode([1, session], [2, encode([1, userId])], [3, 'the rest']));
}

export function checkRequest(options: CheckOptions = {}): CheckRequest {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries({
    'x-doordash-team': 'data',
    'x-doordash-environment': 'prod',
    'user-agent': 'grpc-python/1.60',
    ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    ...options.headers,
  })) {
    if (value !== undefined) headers[name] = value;
  }
  return create(CheckRequestSchema, {
    attributes: {
      source: {
        address: {
          address: {
            case: 'socketAddress',
            value: {
              address: options.sourceAddress ?? '192.0.2.7',
              portSpecifier: { case: 'portValue', value: 4711 },
            },
          },
        },
        principal: options.principal ?? '',
        certificate: options.certificate ?? '',
      },
      request: {
        http: {
          method: 'POST',
          path:
            options.path ?? `/spark.connect.SparkConnectService/${options.method ?? 'ExecutePlan'}`,
          host: 'gateway.example:15002',
          headers,
          rawBody: options.body ?? sparkBody(),
        },
      },
    },
  });
}

export class CheckClient {
  readonly #client: Client;
  readonly #method = methodDefinition(Authorization.method.check);

  constructor(target: string) {
    this.#client = new Client(target, credentials.createInsecure());
  }

  /** `cancel` gives up on the answer. */
  start(options: CheckOptions = {}, deadline?: number) {
    let call: { cancel(): void } | undefined;
    const answer = new Promise<CheckResponse>((resolve, reject) => {
      call = this.#client.makeUnaryRequest(
        this.#method.path,
        this.#method.requestSerialize,
        this.#method.responseDeserialize,
        checkRequest(options),
        deadline === undefined ? {} : { deadline },
        (error: ServiceError | null, response?: CheckResponse) => {
          if (response) resolve(response);
          else reject(error ?? new Error('no answer'));
        },
      );
    });
    return { answer, cancel: () => call?.cancel() };
  }

  check(options: CheckOptions = {}): Promise<CheckResponse> {
    return this.start(options).answer;
  }

  close(): void {
    this.#client.close();
  }
}

export interface Allowed {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** For the client, or for Envoy's filters in front of it. */
  readonly toClient: Readonly<Record<string, string>>;
}

export function allowed(response: CheckResponse): Allowed {
  const { httpResponse } = response;
  if (response.status?.code !== 0 || httpResponse.case !== 'okResponse') {
    throw new Error(`denied: ${JSON.stringify(denied(response))}`);
  }
  return {
    set: headersOf(httpResponse.value.headers),
    remove: httpResponse.value.headersToRemove,
    metadata: unpacked(response.dynamicMetadata ?? {}),
    toClient: headersOf(httpResponse.value.responseHeadersToAdd),
  };
}

/** Each by itself, as it is of a traced request. */
export function unpacked(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const packed = metadata[AccessMetadata.packed];
  if (typeof packed !== 'string') return { ...metadata };
  return JSON.parse(Buffer.from(packed, 'base64').toString()) as Record<string, unknown>;
}

export interface Denied {
  readonly grpcStatus: number;
  readonly message: string;
  /** The `reason` of google.rpc.ErrorInfo. */
  readonly code: string | undefined;
  readonly errorClass: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly httpStatus: number | undefined;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export function denied(response: CheckResponse): Denied {
  if (response.httpResponse.case !== 'deniedResponse') throw new Error('allowed');
  const { headers, status } = response.httpResponse.value;
  const set = headersOf(headers);
  const details = fromBinary(
    StatusSchema,
    Buffer.from(set['grpc-status-details-bin'] ?? '', 'base64'),
  );
  let info;
  let retry;
  for (const detail of details.details) {
    info ??= anyUnpack(detail, ErrorInfoSchema);
    retry ??= anyUnpack(detail, RetryInfoSchema)?.retryDelay;
  }
  const message = decodeURIComponent(set['grpc-message'] ?? '');
  const grpcStatus = Number(set['grpc-status']);
  if (details.code !== grpcStatus || details.message !== message) throw new Error('two answers');
  return {
    grpcStatus,
    message,
    code: info?.reason,
    errorClass: info?.metadata['errorClass'],
    retryAfterMs: retry && Number(retry.seconds) * 1000 + retry.nanos / 1e6,
    httpStatus: status?.code,
    metadata: { ...response.dynamicMetadata },
  };
}

function headersOf(headers: readonly HeaderValueOption[]): Record<string, string> {
  return Object.fromEntries(headers.map(({ header }) => [header?.key ?? '', header?.value ?? '']));
}
