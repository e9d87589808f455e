/** The resources of the benchmark; go-control-plane/main.go has the same. */
import { create } from '@bufbuild/protobuf';
import { Cluster_DiscoveryType, ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { SocketAddressSchema } from '#gen/envoy/config/core/v3/address_pb.js';
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js';
import {
  EndpointSchema,
  LbEndpointSchema,
} from '#gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { type EncodedResource, encodeResource } from '../../src/xds/resource.js';

export const CLUSTERS = 2000;
export const ENDPOINTS_EACH = 5;
export const FIRST_PORT = 15002;

export function clusterName(index: number): string {
  return `spark/sjns-team-${String(index).padStart(4, '0')}-prod`;
}

export function cluster(index: number): EncodedResource {
  const name = clusterName(index);
  const message = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      edsConfig: {
        resourceApiVersion: ApiVersion.V3,
        configSourceSpecifier: { case: 'ads', value: {} },
      },
    },
  });
  return encodeResource(ClusterSchema, name, message);
}

/** The load assignment of a cluster; its first endpoint is on `firstPort`. */
export function assignment(index: number, firstPort: number): EncodedResource {
  const name = clusterName(index);
  const lbEndpoints = Array.from({ length: ENDPOINTS_EACH }, (_, i) => {
    const value = create(SocketAddressSchema, {
      address: `127.1.1.${i + 1}`,
      portSpecifier: { case: 'portValue', value: i === 0 ? firstPort : FIRST_PORT },
    });
    const address = { address: { case: 'socketAddress' as const, value } };
    const endpoint = create(EndpointSchema, { address });
    return create(LbEndpointSchema, {
      hostIdentifier: { case: 'endpoint', value: endpoint },
    });
  });
  const message = create(ClusterLoadAssignmentSchema, {
    clusterName: name,
    endpoints: [{ lbEndpoints }],
  });
  return encodeResource(ClusterLoadAssignmentSchema, name, message);
}
