import {
  type DescMessage,
  type JsonObject,
  type MessageInitShape,
  type UnknownField,
  create,
  toBinary,
} from '@bufbuild/protobuf';
import {
  anyPack,
  type AnySchema,
  DurationSchema,
  type Any,
  type Duration,
} from '@bufbuild/protobuf/wkt';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { type Address, AddressSchema } from '#gen/envoy/config/core/v3/address_pb.js';
import {
  AggregatedConfigSourceSchema,
  ApiVersion,
  type ConfigSource,
  ConfigSourceSchema,
} from '#gen/envoy/config/core/v3/config_source_pb.js';
import { type GrpcService, GrpcServiceSchema } from '#gen/envoy/config/core/v3/grpc_service_pb.js';
import { FilterConfigSchema } from '#gen/envoy/config/route/v3/route_components_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema } from '#gen/xds/type/v3/typed_struct_pb.js';

/**
 * What Envoy's configuration is made of, beside the drivers. All durations are milliseconds.
 * Values that are part of the listener take effect only at the price of ending open streams
 * (Envoy drains a changed listener), so they are fixed for a release of an installation.
 */
export interface EnvoySettings {
  readonly listener: ListenerSettings;
  readonly authz: AuthzSettings;
  readonly drivers: DriverConnectionSettings;
  /** Where traces go; undefined: there are none. Needed by `listener.tracing`. */
  readonly collector?: CollectorSettings;
}

export interface CollectorSettings {
  /** IP address or DNS name. */
  readonly host: string;
  readonly port: number;
  /** Who signs its certificate, if it has one, PEM; undefined: those that Envoy's system trusts. */
  readonly tls: { readonly authorityPem: string | undefined } | undefined;
}

export interface TracingSettings {
  /** Of the requests whose clients do not say by themselves whether they are traced. */
  readonly samplePercent: number;
}

/** The front listener. Each value here is part of its bytes. */
export interface ListenerSettings {
  /** IP address to listen on, without brackets. */
  readonly address: string;
  readonly port: number;
  /** Whether clients speak TLS. Certificates come by SDS (`secrets.ts`) and may change at any time. */
  readonly tls: boolean;
  /** Proxies in front that append to `x-forwarded-for`; 0: the peer is the client. */
  readonly trustedProxies: number;
  /** Whether every connection begins with a PROXY protocol header, which names the client. */
  readonly proxyProtocol?: boolean;
  /**
   * Connections of one address at most; undefined: no limit. Addresses share it in groups
   * (address-groups.ts).
   */
  readonly maxConnectionsPerAddress?: number;
  /** For a connection's first bytes, for TLS, and for the headers of a request; 10 s by default. */
  readonly handshakeMs?: number;
  /** How long a connection may have no request; 5 min by default. */
  readonly idleMs?: number;
  /** How often a running stream is reported by the access log. */
  readonly accessLogIntervalMs: number;
  /** undefined: requests are not traced. */
  readonly tracing?: TracingSettings;
}

export interface AuthzSettings {
  /** The longest time for which authz holds a check back while a driver comes up. */
  readonly longestHoldMs: number;
  /**
   * By how much Envoy waits longer than that for authz, and a request longer than Envoy for authz;
   * 10 s by default.
   */
  readonly marginMs?: number;
  /** For the first message of a request, from its headers on; 30 s by default. */
  readonly firstMessageMs?: number;
  /**
   * Names of request headers that policy reads (team, environment, user), beside the credentials
   * and what the protocol needs. Only these are sent to authz.
   */
  readonly headers: readonly string[];
  /** Whether Envoy may keep decisions of authz for the time that authz says; not by default. */
  readonly leases?: boolean;
}

export interface DriverConnectionSettings {
  /** TCP connections of one Envoy to one driver at most. Streams share them. */
  readonly maxConnectionsPerDriver: number;
  readonly connectTimeoutMs: number;
  /** The largest message that drivers accept, bytes; 256 MiB by default. */
  readonly maxMessageBytes?: number;
  /** How long what was sent to a driver may be unacknowledged before the connection ends; 45 s by default. */
  readonly unacknowledgedMs?: number;
  /** Whether drivers are reached by mutual TLS; secrets come by SDS. */
  readonly tls: boolean;
  /** Name for the handshake (SNI); without it none is sent. */
  readonly serverName?: string;
}

/** Names of the resources that exist once, and of the clusters that Envoy's bootstrap defines. */
export const ResourceNames = {
  listener: 'spark_connect',
  routes: 'spark_connect_routes',
  extAuthz: 'envoy.filters.http.ext_authz',
  /** The filter that keeps decisions of authz for some seconds. */
  lease: 'spark_gateway.lease',
  /** The front's certificate and key. */
  frontCertificate: 'front_certificate',
  /** Who signs client certificates; empty while none are accepted. */
  clientCa: 'client_ca',
  /** What Envoy shows to drivers. */
  driverClientCertificate: 'driver_client_certificate',
  /** Who signs the drivers' certificates. */
  driverCa: 'driver_ca',
  /** Cluster of the OpenTelemetry collector. */
  collector: 'otlp_collector',
} as const;

export const StaticClusters = {
  xds: 'control_plane_xds',
  accessLog: 'control_plane_access_log',
  extAuthz: 'ext_authz',
} as const;

const DEFAULT_MARGIN_MS = 10_000;
const DEFAULT_FIRST_MESSAGE_MS = 30_000;

/** How long authz may take before Envoy gives up on it: longer than the longest hold. */
export function checkTimeoutMs(authz: AuthzSettings): number {
  return authz.longestHoldMs + (authz.marginMs ?? DEFAULT_MARGIN_MS);
}

/** How long a request that has no driver yet may idle: longer than a check may take. */
export function unassignedIdleTimeoutMs(authz: AuthzSettings): number {
  return authz.longestHoldMs + 2 * (authz.marginMs ?? DEFAULT_MARGIN_MS);
}

/** From a request's headers until it has a driver: its first message, and the check. An absolute limit. */
export function unassignedLimitMs(authz: AuthzSettings): number {
  return (authz.firstMessageMs ?? DEFAULT_FIRST_MESSAGE_MS) + unassignedIdleTimeoutMs(authz);
}

// Small pieces that several resources are made of.

/** Of the type URLs of protobuf messages. */
export const TYPE_PREFIX = 'type.googleapis.com/';

export function pack<D extends DescMessage>(schema: D, value: MessageInitShape<D>): Any {
  return anyPack(schema, create(schema, value));
}

/** What Envoy buffers of one stream in each direction before it stops to read; the same on both sides. */
export const BUFFER_BYTES = 1024 * 1024;
/** Of a request whose whole message Envoy waits for, to find its lease; what gRPC takes by default. */
export const MAX_WAIT_BYTES = 4 * 1024 * 1024;

/** A filter that runs where a route asks for it (`withFilter`), and costs other requests nothing. */
export function optionalFilter(
  name: string,
  configType: NonNullable<MessageInitShape<typeof HttpFilterSchema>['configType']>,
): HttpFilter {
  return create(HttpFilterSchema, { name, disabled: true, configType });
}

/** For a route, as `typedPerFilterConfig`. `config`: what the filter does there, if that differs. */
export function withFilter(name: string, config: MessageInitShape<typeof AnySchema> = {}) {
  return { [name]: pack(FilterConfigSchema, { config }) };
}

/** The configuration of an extension whose protos are not at hand. */
export function typedStruct(type: string, value: JsonObject = {}) {
  return {
    case: 'typedConfig' as const,
    value: pack(TypedStructSchema, { typeUrl: `${TYPE_PREFIX}${type}`, value }),
  };
}

/** A field, of the type of a message, that the protos at hand do not know yet. For a message's `$unknown`. */
export function newerField<Desc extends DescMessage>(
  no: number,
  schema: Desc,
  value: MessageInitShape<Desc>,
): UnknownField {
  const bytes = toBinary(schema, create(schema, value));
  return { no, wireType: 2, data: new BinaryWriter().bytes(bytes).finish() };
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
