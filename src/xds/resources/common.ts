/** Small pieces that several resources are made of. */
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { anyPack, DurationSchema, type Any, type Duration } from '@bufbuild/protobuf/wkt';
import { type Address, AddressSchema } from '#gen/envoy/config/core/v3/address_pb.js';
import {
  AggregatedConfigSourceSchema,
  ApiVersion,
  type ConfigSource,
  ConfigSourceSchema,
} from '#gen/envoy/config/core/v3/config_source_pb.js';
import { type GrpcService, GrpcServiceSchema } from '#gen/envoy/config/core/v3/grpc_service_pb.js';

/** Of the type URLs of protobuf messages. */
export const TYPE_PREFIX = 'type.googleapis.com/';

export function pack<D extends DescMessage>(schema: D, value: MessageInitShape<D>): Any {
  return anyPack(schema, create(schema, value));
}

export function duration(ms: number): Duration {
  return create(DurationSchema, {
    seconds: BigInt(Math.floor(ms / 1000)),
    nanos: (ms % 1000) * 1_000_000,
  });
}

/** Over the stream on which the resource itself came. Waits for the first answer as long as it takes. */
export function fromAds(): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: 'ads', value: create(AggregatedConfigSourceSchema) },
    resourceApiVersion: ApiVersion.V3,
    initialFetchTimeout: duration(0),
  });
}

export function grpcService(cluster: string, timeoutMs?: number): GrpcService {
  return create(GrpcServiceSchema, {
    targetSpecifier: { case: 'envoyGrpc', value: { clusterName: cluster } },
    ...(timeoutMs === undefined ? {} : { timeout: duration(timeoutMs) }),
  });
}

export function socketAddress(address: string, port: number): Address {
  return create(AddressSchema, {
    address: {
      case: 'socketAddress',
      value: { address, portSpecifier: { case: 'portValue', value: port } },
    },
  });
}
