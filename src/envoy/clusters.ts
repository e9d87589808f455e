/** CDS: one EDS cluster for each namespace. */
import { create } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  Cluster_RingHashLbConfig_HashFunction,
  ClusterSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { type TransportSocket, TransportSocketSchema } from '#gen/envoy/config/core/v3/base_pb.js';
import { SocketOption_SocketState } from '#gen/envoy/config/core/v3/socket_option_pb.js';
import { HealthStatus } from '#gen/envoy/config/core/v3/health_check_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { TlsParameters_TlsProtocol } from '#gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { HttpProtocolOptionsSchema } from '#gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import type { RoutableDriver } from '../model/driver.js';
import { clusterName } from '../model/names.js';
import {
  BUFFER_BYTES,
  duration,
  fromAds,
  pack,
  type DriverConnectionSettings,
  socketAddress,
  ResourceNames,
} from './settings.js';

/** Circuit breakers count for each cluster; the limits that matter are per driver and in the pools. */
const UNLIMITED = 0xffff_ffff;

/** Of Linux: https://man7.org/linux/man-pages/man7/tcp.7.html. */
const IPPROTO_TCP = 6n;
const TCP_USER_TIMEOUT = 18n;
const UNACKNOWLEDGED_MS = 45_000;

/**
 * How Envoy reaches the drivers of a namespace. The strict pin chooses the driver; the ring, in which
 * each driver has its own single point, is the second line that agrees with it.
 *
 * No health checks and no outlier ejection: a driver that answers slowly still holds its sessions, and
 * a request must fail at its own driver and not go elsewhere. No HTTP/2 pings: an idle Spark 4.1 server
 * closes the connection over them, so a dead peer is found by TCP: by keepalive, and by
 * how long data that was sent may be unacknowledged.
 */
export function cluster(namespace: string, settings: DriverConnectionSettings): Cluster {
  return create(ClusterSchema, {
    name: clusterName(namespace),
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: fromAds() },
    connectTimeout: duration(settings.connectTimeoutMs),
    perConnectionBufferLimitBytes: BUFFER_BYTES,
    lbPolicy: Cluster_LbPolicy.RING_HASH,
    lbConfig: {
      case: 'ringHashLbConfig',
      value: {
        hashFunction: Cluster_RingHashLbConfig_HashFunction.XX_HASH,
        minimumRingSize: 1n,
      },
    },
    commonLbConfig: {
      healthyPanicThreshold: { value: 0 },
      overrideHostStatus: {
        statuses: [
          HealthStatus.UNKNOWN,
          HealthStatus.HEALTHY,
          HealthStatus.DEGRADED,
          HealthStatus.DRAINING,
        ],
      },
    },
    circuitBreakers: {
      thresholds: [
        {
          maxConnections: UNLIMITED,
          maxPendingRequests: UNLIMITED,
          maxRequests: UNLIMITED,
          maxRetries: UNLIMITED,
        },
      ],
      perHostThresholds: [{ maxConnections: settings.maxConnectionsPerDriver }],
    },
    // A peer that is gone while nothing is under way: 50 s.
    upstreamConnectionOptions: {
      tcpKeepalive: {
        keepaliveTime: 20,
        keepaliveInterval: 10,
        keepaliveProbes: 3,
      },
    },
    // Keepalive does nothing while data is unacknowledged.
    upstreamBindConfig: {
      socketOptions: [
        {
          description: 'TCP_USER_TIMEOUT',
          level: IPPROTO_TCP,
          name: TCP_USER_TIMEOUT,
          value: {
            case: 'intValue',
            value: BigInt(settings.unacknowledgedMs ?? UNACKNOWLEDGED_MS),
          },
          state: SocketOption_SocketState.STATE_PREBIND,
        },
      ],
    },
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': pack(HttpProtocolOptionsSchema, {
        upstreamProtocolOptions: {
          case: 'explicitHttpConfig',
          value: {
            protocolConfig: {
              case: 'http2ProtocolOptions',
              value: {
                // A client that stops reading holds at most its stream's window; the connection's is
                // large enough that dozens of such do not stall the driver's other streams.
                initialStreamWindowSize: 1024 * 1024,
                initialConnectionWindowSize: 64 * 1024 * 1024,
              },
            },
          },
        },
      }),
    },
    ...(settings.tls ? { transportSocket: driverTransportSocket(settings.serverName) } : {}),
  });
}

// EDS: the drivers of one namespace.

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

// TLS contexts whose certificates come by SDS, so that a rotation changes no listener and no cluster.

const tlsParams = { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2 };

/**
 * The front. Client certificates are asked for while the `client_ca` secret names an authority, and
 * stay optional: one that is shown must verify.
 */
export function frontTransportSocket(): TransportSocket {
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: {
      case: 'typedConfig',
      value: pack(DownstreamTlsContextSchema, {
        commonTlsContext: {
          tlsParams,
          alpnProtocols: ['h2'],
          tlsCertificateSdsSecretConfigs: [
            { name: ResourceNames.frontCertificate, sdsConfig: fromAds() },
          ],
          validationContextType: {
            case: 'validationContextSdsSecretConfig',
            value: { name: ResourceNames.clientCa, sdsConfig: fromAds() },
          },
        },
      }),
    },
  });
}

/** Mutual TLS to drivers. */
function driverTransportSocket(serverName = ''): TransportSocket {
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: {
      case: 'typedConfig',
      value: pack(UpstreamTlsContextSchema, {
        sni: serverName,
        commonTlsContext: {
          tlsParams,
          alpnProtocols: ['h2'],
          tlsCertificateSdsSecretConfigs: [
            { name: ResourceNames.driverClientCertificate, sdsConfig: fromAds() },
          ],
          validationContextType: {
            case: 'validationContextSdsSecretConfig',
            value: { name: ResourceNames.driverCa, sdsConfig: fromAds() },
          },
        },
      }),
    },
  });
}
