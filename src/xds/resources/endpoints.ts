/** EDS: the drivers of one namespace. */
import { create } from '@bufbuild/protobuf';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { HealthStatus } from '#gen/envoy/config/core/v3/health_check_pb.js';
import type { RoutableDriver } from '../../model/driver.js';
import { clusterName } from '../../model/names.js';
import { socketAddress } from './common.js';

/**
 * The drivers as endpoints, in the order of their uids so that equal drivers give equal bytes. Each
 * carries its uid as `hash_key`, which is how Envoy's ring comes to hold exactly its own point
 * (`ringHashKey`). A draining one is DRAINING: out of the ring, still reached by its pin.
 */
export function endpoints(
  namespace: string,
  drivers: readonly RoutableDriver[],
): ClusterLoadAssignment {
  const sorted = drivers.toSorted((a, b) => (a.uid < b.uid ? -1 : 1));
  return create(ClusterLoadAssignmentSchema, {
    clusterName: clusterName(namespace),
    endpoints:
      sorted.length === 0
        ? []
        : [
            {
              lbEndpoints: sorted.map((driver) => ({
                hostIdentifier: {
                  case: 'endpoint' as const,
                  value: { address: socketAddress(driver.address, driver.port) },
                },
                healthStatus: driver.draining ? HealthStatus.DRAINING : HealthStatus.HEALTHY,
                metadata: { filterMetadata: { 'envoy.lb': { hash_key: driver.uid } } },
              })),
            },
          ],
  });
}
