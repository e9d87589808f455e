/** LDS: the one front listener. */
import { create, toBinary, type UnknownField } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { TcpKeepaliveSchema } from '#gen/envoy/config/core/v3/address_pb.js';
import { TypedExtensionConfigSchema } from '#gen/envoy/config/core/v3/extension_pb.js';
import { HttpProtocolOptions_HeadersWithUnderscoresAction } from '#gen/envoy/config/core/v3/protocol_pb.js';
import { type Listener, ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js';
import {
  HttpConnectionManager_CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManagerSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema } from '#gen/xds/type/v3/typed_struct_pb.js';
import { type EncodedResource, encodeResource } from '../xds/resource.js';
import { frontTransportSocket } from './clusters.js';
import { frontTracing, collectorCluster } from './collector.js';
import { httpFilters, withoutInternalHeaders, extAuthz } from './http-filters.js';
import { connectionLog, frontAccessLog, localReplies } from './local-replies.js';
import { routes } from './routes.js';
import {
  duration,
  fromAds,
  pack,
  socketAddress,
  type ListenerSettings,
  ResourceNames,
  type EnvoySettings,
} from './settings.js';

/** Idle clients are cheap to keep, and a notebook may be silent for hours; dead ones end by TCP keepalive. */
const CONNECTION_IDLE_MS = 24 * 3_600_000;

/**
 * The bytes depend on `settings` alone and stay the same for as long as an installation runs one
 * release: Envoy drains a listener that changed, which ends its open streams. Whatever may change
 * comes by RDS, ECDS and SDS.
 */
export function listener(settings: ListenerSettings): Listener {
  const value = create(ListenerSchema, {
    name: ResourceNames.listener,
    address: socketAddress(settings.address, settings.port),
    accessLog: [connectionLog()],
    perConnectionBufferLimitBytes: 1024 * 1024,
    ...(settings.proxyProtocol ? { listenerFilters: [proxyProtocol()] } : {}),
    filterChains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            configType: { case: 'typedConfig', value: connectionManager(settings) },
          },
        ],
        ...(settings.tls ? { transportSocket: frontTransportSocket() } : {}),
      },
    ],
  });
  value.$unknown = [tcpKeepalive()];
  return value;
}

/** Its protos are not at hand, hence a TypedStruct; empty: versions 1 and 2, and nothing without a header. */
function proxyProtocol() {
  return {
    name: 'envoy.filters.listener.proxy_protocol',
    configType: {
      case: 'typedConfig' as const,
      value: pack(TypedStructSchema, {
        typeUrl:
          'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
        value: {},
      }),
    },
  };
}

function connectionManager(settings: ListenerSettings) {
  return pack(HttpConnectionManagerSchema, {
    codecType: HttpConnectionManager_CodecType.AUTO,
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
    xffNumTrustedHops: settings.trustedProxies,
    // A path must mean the same to Envoy, to authz and to the driver.
    normalizePath: true,
    pathWithEscapedSlashesAction: HttpConnectionManager_PathWithEscapedSlashesAction.REJECT_REQUEST,
    commonHttpProtocolOptions: {
      idleTimeout: duration(CONNECTION_IDLE_MS),
      headersWithUnderscoresAction: HttpProtocolOptions_HeadersWithUnderscoresAction.ALLOW,
    },
    requestHeadersTimeout: duration(15_000),
    http2ProtocolOptions: {
      maxConcurrentStreams: 1000,
      // An upload to a driver that does not read holds at most this much, per stream and connection.
      initialStreamWindowSize: 1024 * 1024,
      initialConnectionWindowSize: 16 * 1024 * 1024,
    },
  });
}

/**
 * `Listener.tcp_keepalive` (field 37), newer than the protos at hand: finds clients that vanished
 * without closing, such as a laptop that went to sleep mid-query.
 */
function tcpKeepalive(): UnknownField {
  const bytes = toBinary(
    TcpKeepaliveSchema,
    create(TcpKeepaliveSchema, {
      keepaliveTime: 60,
      keepaliveInterval: 20,
      keepaliveProbes: 3,
    }),
  );
  return { no: 37, wireType: 2, data: new BinaryWriter().bytes(bytes).finish() };
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
    encodeResource(RouteConfigurationSchema, ResourceNames.routes, routes(settings.authz)),
    encodeResource(TypedExtensionConfigSchema, ResourceNames.extAuthz, extAuthz(settings.authz)),
  ];
}
