/** LDS: the one front listener. */
import { create, type UnknownField } from '@bufbuild/protobuf';
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { TcpKeepaliveSchema } from '#gen/envoy/config/core/v3/address_pb.js';
import { TypedExtensionConfigSchema } from '#gen/envoy/config/core/v3/extension_pb.js';
import { HttpProtocolOptions_HeadersWithUnderscoresAction } from '#gen/envoy/config/core/v3/protocol_pb.js';
import {
  type FilterChain,
  FilterChainSchema,
} from '#gen/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js';
import {
  HttpConnectionManager_CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManagerSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { type EncodedResource, encodeResource } from '../xds/resource.js';
import { addressGroups, byAddress, connectionLimit } from './address-groups.js';
import { frontTransportSocket } from './clusters.js';
import { frontTracing, collectorCluster } from './collector.js';
import { httpFilters, withoutInternalHeaders, extAuthz } from './http-filters.js';
import { lease } from './lease.js';
import { connectionLog, frontAccessLog, localReplies } from './local-replies.js';
import { routes } from './routes.js';
import {
  BUFFER_BYTES,
  duration,
  fromAds,
  newerField,
  pack,
  socketAddress,
  typedStruct,
  type ListenerSettings,
  ResourceNames,
  type EnvoySettings,
} from './settings.js';

/**
 * A connection that has no request for so long is told to go (GOAWAY) and ends; a gRPC client makes a
 * new one with its next request. Envoy has no other way to end those that never had one.
 */
const CONNECTION_IDLE_MS = 5 * 60_000;
/** For the first bytes of a connection, for TLS and for the headers of a request. */
const HANDSHAKE_MS = 10_000;

/**
 * The bytes depend on `settings` alone and stay the same for as long as an installation runs one
 * release: Envoy drains a listener that changed, which ends its open streams. Whatever may change
 * comes by RDS, ECDS and SDS.
 */
export function listener(settings: ListenerSettings): Listener {
  const limit = settings.maxConnectionsPerAddress;
  const names = limit === undefined ? ['all'] : addressGroups();
  const value = create(ListenerSchema, {
    name: ResourceNames.listener,
    address: socketAddress(settings.address, settings.port),
    accessLog: [connectionLog()],
    perConnectionBufferLimitBytes: BUFFER_BYTES,
    listenerFilters: [
      ...(settings.proxyProtocol ? [proxyProtocol()] : []),
      // Waits for a client's first bytes, which none of the rest of Envoy does with an end in time.
      settings.tls ? inspector('tls') : inspector('http'),
    ],
    listenerFiltersTimeout: duration(settings.handshakeMs ?? HANDSHAKE_MS),
    filterChains: names.map((name) => filterChain(name, settings)),
    ...(limit === undefined ? {} : { filterChainMatcher: byAddress(names) }),
  });
  value.$unknown = [tcpKeepalive()];
  return value;
}

function filterChain(name: string, settings: ListenerSettings): FilterChain {
  const { handshakeMs = HANDSHAKE_MS, maxConnectionsPerAddress: limit, tls } = settings;
  return create(FilterChainSchema, {
    name,
    filters: [
      ...(limit === undefined ? [] : [connectionLimit(limit)]),
      {
        name: 'envoy.filters.network.http_connection_manager',
        configType: { case: 'typedConfig' as const, value: connectionManager(settings) },
      },
    ],
    ...(tls ? { transportSocket: frontTransportSocket() } : {}),
    transportSocketConnectTimeout: duration(handshakeMs),
  });
}

/** Its protos are not at hand, hence a TypedStruct; empty: versions 1 and 2, and nothing without a header. */
function proxyProtocol() {
  return {
    name: 'envoy.filters.listener.proxy_protocol',
    configType: typedStruct('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'),
  };
}

/** Listener filters that only look at what a connection begins with; until it has begun, they hold it. */
function inspector(protocol: 'tls' | 'http') {
  const [message, name] =
    protocol === 'tls'
      ? ['tls_inspector.v3.TlsInspector', 'tls_inspector']
      : ['http_inspector.v3.HttpInspector', 'http_inspector'];
  return {
    name: `envoy.filters.listener.${name}`,
    configType: typedStruct(`envoy.extensions.filters.listener.${message}`),
  };
}

function connectionManager(settings: ListenerSettings) {
  return pack(HttpConnectionManagerSchema, {
    codecType: HttpConnectionManager_CodecType.HTTP2,
    statPrefix: 'front',
    serverName: 'spark-connect-gateway',
    routeSpecifier: {
      case: 'rds',
      value: { configSource: fromAds(), routeConfigName: ResourceNames.routes },
    },
    httpFilters: httpFilters(settings.trustedProxies),
    earlyHeaderMutationExtensions: [withoutInternalHeaders()],
    localReplyConfig: localReplies(),
    accessLog: [frontAccessLog()],
    accessLogOptions: { accessLogFlushInterval: duration(settings.accessLogIntervalMs) },
    ...(settings.tracing ? { tracing: frontTracing(settings.tracing) } : {}),
    useRemoteAddress: true,
    // No driver is sent it (routes.ts).
    skipXffAppend: true,
    xffNumTrustedHops: settings.trustedProxies,
    // A path must mean the same to Envoy, to authz and to the driver.
    normalizePath: true,
    pathWithEscapedSlashesAction: HttpConnectionManager_PathWithEscapedSlashesAction.REJECT_REQUEST,
    commonHttpProtocolOptions: {
      idleTimeout: duration(settings.idleMs ?? CONNECTION_IDLE_MS),
      // Some servers take `_` for `-`: what one of them would read, the gateway must have read as well.
      headersWithUnderscoresAction: HttpProtocolOptions_HeadersWithUnderscoresAction.DROP_HEADER,
    },
    requestHeadersTimeout: duration(settings.handshakeMs ?? HANDSHAKE_MS),
    http2ProtocolOptions: {
      maxConcurrentStreams: 512,
      // An upload to a driver that does not read holds at most this much, per stream and connection.
      initialStreamWindowSize: 1024 * 1024,
      initialConnectionWindowSize: 4 * 1024 * 1024,
    },
  });
}

/**
 * `Listener.tcp_keepalive`: finds clients that vanished without closing, such as a laptop that went to sleep
 * mid-query.
 */
function tcpKeepalive(): UnknownField {
  return newerField(37, TcpKeepaliveSchema, {
    keepaliveTime: 60,
    keepaliveInterval: 20,
    keepaliveProbes: 3,
  });
}

// The resources that exist once: listener, routes and the authz filter.

/** To be put into every view. Secrets are apart (`CertificateFiles`). */
export function frontResources(settings: EnvoySettings): readonly EncodedResource[] {
  const { collector } = settings;
  return [
    ...(collector
      ? [encodeResource(ClusterSchema, ResourceNames.collector, collectorCluster(collector))]
      : []),
    encodeResource(ListenerSchema, ResourceNames.listener, listener(settings.listener)),
    encodeResource(RouteConfigurationSchema, ResourceNames.routes, routes(settings)),
    encodeResource(TypedExtensionConfigSchema, ResourceNames.extAuthz, extAuthz(settings.authz)),
    encodeResource(TypedExtensionConfigSchema, ResourceNames.lease, lease(settings.authz)),
  ];
}
