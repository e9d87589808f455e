/** Sends to an OpenTelemetry collector: OTLP over gRPC, https://opentelemetry.io/docs/specs/otlp/. */
import { readFileSync } from 'node:fs';
import { type DescMessage, type DescMethod, type MessageShape, create } from '@bufbuild/protobuf';
import { ChannelCredentials, Client, type ServiceError } from '@grpc/grpc-js';
import {
  type AnyValue,
  AnyValueSchema,
  type KeyValue,
  KeyValueSchema,
  type Resource,
  ResourceSchema,
} from '#gen/otlp/common_pb.js';
import { formatAddress, isLoopback } from '../../model/address.js';
import { GatewayError, GrpcStatus } from '../../model/errors.js';
import { methodDefinition } from './channels.js';

export interface OtlpEndpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface OtlpOptions {
  readonly endpoint: OtlpEndpoint;
  /** Who signs the collector's certificate (PEM); undefined: whom the system trusts. */
  readonly caFile: string | undefined;
  /** How long a collector may take to answer, milliseconds; 10 s by default. */
  readonly timeoutMs?: number;
}

/** The collector will not take this request, whenever it is sent. */
export class OtlpRefused extends Error {
  override readonly name = 'OtlpRefused';
}

/** After these it makes sense to try again (OTLP specification, "Failures"). */
const retryable: ReadonlySet<number> = new Set([
  GrpcStatus.CANCELLED,
  GrpcStatus.DEADLINE_EXCEEDED,
  GrpcStatus.RESOURCE_EXHAUSTED,
  GrpcStatus.ABORTED,
  GrpcStatus.OUT_OF_RANGE,
  GrpcStatus.UNAVAILABLE,
  GrpcStatus.DATA_LOSS,
]);

const channelOptions = {
  'grpc.initial_reconnect_backoff_ms': 500,
  'grpc.max_reconnect_backoff_ms': 10_000,
  'grpc.keepalive_time_ms': 60_000,
} as const;

export class OtlpClient {
  readonly #client: Client;
  readonly #timeoutMs: number;

  /** @throws GatewayError SETTINGS_INVALID when the CA cannot be read */
  constructor({ endpoint, caFile, timeoutMs = 10_000 }: OtlpOptions) {
    this.#client = new Client(formatAddress(endpoint), credentials(endpoint, caFile), {
      ...channelOptions,
      ...(isLoopback(endpoint.host) ? { 'grpc.enable_http_proxy': 0 } : {}),
    });
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with OtlpRefused, or with another error when it makes sense to try again. */
  send<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    request: MessageShape<I>,
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: Date.now() + this.#timeoutMs },
        (error: ServiceError | null, response?: MessageShape<O>) => {
          if (response) resolve(response);
          else if (error && !retryable.has(error.code)) {
            reject(new OtlpRefused(error.details, { cause: error }));
          } else reject(error ?? new Error('The collector gave no answer.'));
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

function credentials({ tls }: OtlpEndpoint, caFile: string | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  try {
    return ChannelCredentials.createSsl(caFile === undefined ? null : readFileSync(caFile));
  } catch (error) {
    throw new GatewayError('SETTINGS_INVALID', `otlp.ca_file: ${caFile} cannot be used`, {
      cause: error,
    });
  }
}

export type AttributeValue = string | number | boolean;

export function attributes(values: Readonly<Record<string, AttributeValue>>): KeyValue[] {
  return Object.entries(values).map(([key, value]) =>
    create(KeyValueSchema, { key, value: anyValue(value) }),
  );
}

export function anyValue(value: AttributeValue): AnyValue {
  return create(AnyValueSchema, { value: valueCase(value) });
}

function valueCase(value: AttributeValue) {
  if (typeof value === 'string') return { case: 'stringValue', value } as const;
  if (typeof value === 'boolean') return { case: 'boolValue', value } as const;
  return Number.isSafeInteger(value)
    ? ({ case: 'intValue', value: BigInt(value) } as const)
    : ({ case: 'doubleValue', value } as const);
}

/** Of a time in milliseconds since the epoch, to the microsecond. */
export function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * 1000n;
}

/** Names of https://opentelemetry.io/docs/specs/semconv/resource/. */
export function serviceResource(role: string, instance: string): Resource {
  return create(ResourceSchema, {
    attributes: attributes({
      'service.namespace': 'spark-gateway',
      'service.name': `spark-gateway-${role}`,
      'service.instance.id': instance,
    }),
  });
}
