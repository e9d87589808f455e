/** Small real resources for xDS tests. */
import { create } from '@bufbuild/protobuf';
import { ClusterSchema, Cluster_DiscoveryType } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { SocketAddressSchema } from '#gen/envoy/config/core/v3/address_pb.js';
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import {
  EndpointSchema,
  type LbEndpoint,
  LbEndpointSchema,
} from '#gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { type EncodedResource, encodeResource } from '../../src/xds/resource.js';

/** An EDS cluster; `setting` makes its content differ. */
export function cluster(name: string, setting = ''): EncodedResource {
  return encodeResource(
    ClusterSchema,
    name,
    create(ClusterSchema, {
      name,
      altStatName: setting,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    }),
  );
}

/** A load assignment with one endpoint for each port. */
export function endpoints(clusterName: string, ports: readonly number[]): EncodedResource {
  return encodeResource(
    ClusterLoadAssignmentSchema,
    clusterName,
    create(ClusterLoadAssignmentSchema, {
      clusterName,
      endpoints: [{ lbEndpoints: ports.map(endpoint) }],
    }),
  );
}

function endpoint(portValue: number): LbEndpoint {
  const socketAddress = create(SocketAddressSchema, {
    address: '192.0.2.1',
    portSpecifier: { case: 'portValue', value: portValue },
  });
  const address = { address: { case: 'socketAddress' as const, value: socketAddress } };
  return create(LbEndpointSchema, {
    hostIdentifier: { case: 'endpoint', value: create(EndpointSchema, { address }) },
  });
}

export function listener(name: string, setting = ''): EncodedResource {
  return encodeResource(
    ListenerSchema,
    name,
    create(ListenerSchema, { name, statPrefix: setting }),
  );
}

export function route(name: string, virtualHost = 'any'): EncodedResource {
  return encodeResource(
    RouteConfigurationSchema,
    name,
    create(RouteConfigurationSchema, { name, virtualHosts: [{ name: virtualHost }] }),
  );
}

export function secret(name: string, text: string): EncodedResource {
  return encodeResource(
    SecretSchema,
    name,
    create(SecretSchema, {
      name,
      type: {
        case: 'genericSecret',
        value: { secret: { specifier: { case: 'inlineString', value: text } } },
      },
    }),
  );
}
