/**
 * The discovery services as grpc-js definitions that hand bytes through: requests are read and
 * responses put together by the streams, without message objects.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { MethodDefinition } from '@grpc/grpc-js';
import { ClusterDiscoveryService } from '#gen/envoy/service/cluster/v3/cds_pb.js';
import { AggregatedDiscoveryService } from '#gen/envoy/service/discovery/v3/ads_pb.js';
import { EndpointDiscoveryService } from '#gen/envoy/service/endpoint/v3/eds_pb.js';
import { ExtensionConfigDiscoveryService } from '#gen/envoy/service/extension/v3/config_discovery_pb.js';
import { ListenerDiscoveryService } from '#gen/envoy/service/listener/v3/lds_pb.js';
import { RouteDiscoveryService } from '#gen/envoy/service/route/v3/rds_pb.js';
import { SecretDiscoveryService } from '#gen/envoy/service/secret/v3/sds_pb.js';
import { asOnTheWire, methodDefinition } from '../grpc/service.js';
import type { Protocol } from './protocol.js';
import { TypeUrl } from './resource.js';

export interface DiscoveryMethod {
  readonly name: string;
  readonly definition: MethodDefinition<Buffer, Buffer>;
  /** Undefined for a REST-like Fetch, which is not served. */
  readonly protocol: Protocol['name'] | undefined;
  /** Undefined for the aggregated service. */
  readonly typeUrl: TypeUrl | undefined;
}

const services: readonly (readonly [DescService, TypeUrl | undefined])[] = [
  [AggregatedDiscoveryService, undefined],
  [ClusterDiscoveryService, TypeUrl.CLUSTER],
  [EndpointDiscoveryService, TypeUrl.ENDPOINTS],
  [SecretDiscoveryService, TypeUrl.SECRET],
  [ExtensionConfigDiscoveryService, TypeUrl.EXTENSION_CONFIG],
  [ListenerDiscoveryService, TypeUrl.LISTENER],
  [RouteDiscoveryService, TypeUrl.ROUTE],
];

/** Every method of every discovery service. */
export const discoveryMethods: readonly (readonly DiscoveryMethod[])[] = services.map(
  ([service, typeUrl]) =>
    service.methods.map((method) => ({
      name: method.localName,
      definition: {
        ...methodDefinition(method),
        requestSerialize: asOnTheWire,
        requestDeserialize: asOnTheWire,
        responseSerialize: asOnTheWire,
        responseDeserialize: asOnTheWire,
      },
      protocol: protocolOf(method),
      typeUrl,
    })),
);

function protocolOf(method: DescMethod): Protocol['name'] | undefined {
  if (method.methodKind !== 'bidi_streaming') return undefined;
  return method.input.name === 'DeltaDiscoveryRequest' ? 'delta' : 'sotw';
}
