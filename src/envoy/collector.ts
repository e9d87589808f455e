/** Envoy's part in traces: the collector as a cluster, and what the listener sends there. */
import { create, type JsonObject } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  type TypedExtensionConfig,
  TypedExtensionConfigSchema,
} from '#gen/envoy/config/core/v3/extension_pb.js';
import { OpenTelemetryConfigSchema } from '#gen/envoy/config/trace/v3/opentelemetry_pb.js';
import {
  type HttpConnectionManager_Tracing,
  HttpConnectionManager_TracingSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { UpstreamTlsContextSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { HttpProtocolOptionsSchema } from '#gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { CustomTagSchema } from '#gen/envoy/type/tracing/v3/custom_tag_pb.js';
import { TypedStructSchema } from '#gen/xds/type/v3/typed_struct_pb.js';
import { AccessMetadata, AUTHZ_METADATA_NAMESPACE } from '../model/names.js';
import {
  duration,
  grpcService,
  pack,
  socketAddress,
  TYPE_PREFIX,
  type CollectorSettings,
  ResourceNames,
  type TracingSettings,
} from './settings.js';

/** Where Envoy's own image has the authorities that the system trusts. */
const SYSTEM_TRUST = '/etc/ssl/certs/ca-certificates.crt';
const EXPORT_TIMEOUT_MS = 5_000;

const SAMPLERS = 'envoy.extensions.tracers.opentelemetry.samplers.v3';

/** These are newer than the protos at hand, hence a TypedStruct. */
function sampler(name: string, type: string, value: JsonObject): TypedExtensionConfig {
  return create(TypedExtensionConfigSchema, {
    name: `envoy.tracers.opentelemetry.samplers.${name}`,
    typedConfig: pack(TypedStructSchema, { typeUrl: `${TYPE_PREFIX}${SAMPLERS}.${type}`, value }),
  });
}

export function collectorCluster({ host, port, tls }: CollectorSettings): Cluster {
  const name = ResourceNames.collector;
  return create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STRICT_DNS },
    connectTimeout: duration(EXPORT_TIMEOUT_MS),
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: [
            {
              hostIdentifier: {
                case: 'endpoint',
                value: { address: socketAddress(host, port) },
              },
            },
          ],
        },
      ],
    },
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': pack(HttpProtocolOptionsSchema, {
        upstreamProtocolOptions: {
          case: 'explicitHttpConfig',
          value: { protocolConfig: { case: 'http2ProtocolOptions', value: {} } },
        },
      }),
    },
    ...(tls
      ? {
          transportSocket: {
            name: 'envoy.transport_sockets.tls',
            configType: {
              case: 'typedConfig',
              value: pack(UpstreamTlsContextSchema, {
                sni: host,
                commonTlsContext: {
                  validationContextType: {
                    case: 'validationContext',
                    value: {
                      trustedCa: {
                        specifier:
                          tls.authorityPem === undefined
                            ? { case: 'filename', value: SYSTEM_TRUST }
                            : { case: 'inlineString', value: tls.authorityPem },
                      },
                      matchTypedSubjectAltNames: [
                        {
                          sanType: 2,
                          matcher: { matchPattern: { case: 'exact', value: host } },
                        },
                      ],
                    },
                  },
                },
              }),
            },
          },
        }
      : {}),
  });
}

/**
 * A request whose client sends a `traceparent` is traced if that says so; of the others so many
 * percent. Either way a `traceparent` goes on to authz and to the driver.
 */
export function frontTracing({ samplePercent }: TracingSettings): HttpConnectionManager_Tracing {
  return create(HttpConnectionManager_TracingSchema, {
    // What a client asks for by Envoy's own header is no reason.
    clientSampling: { value: 0 },
    // The sampler decides.
    randomSampling: { value: 100 },
    provider: {
      name: 'envoy.tracers.opentelemetry',
      configType: {
        case: 'typedConfig',
        value: pack(OpenTelemetryConfigSchema, {
          grpcService: grpcService(ResourceNames.collector, EXPORT_TIMEOUT_MS),
          serviceName: 'spark-gateway-envoy',
          sampler: sampler('parent_based', 'ParentBasedSamplerConfig', {
            wrapped_sampler: {
              name: 'trace_id_ratio_based',
              typed_config: {
                '@type': `${TYPE_PREFIX}${SAMPLERS}.TraceIdRatioBasedSamplerConfig`,
                sampling_percentage: { numerator: samplePercent, denominator: 'HUNDRED' },
              },
            },
          }),
        }),
      },
    },
    // A path and its query are the client's own text, which may hold a secret.
    maxPathTagLength: 0,
    customTags: [
      // Envoy's own tag of this name would hold the path.
      { tag: 'grpc.path', type: { case: 'literal', value: { value: '-' } } },
      ...metadataTags,
    ],
  });
}

/** What authz found out of a request. */
const metadataTags = [
  AccessMetadata.session,
  AccessMetadata.team,
  AccessMetadata.environment,
  AccessMetadata.driver,
  AccessMetadata.refusal,
].map((key) =>
  create(CustomTagSchema, {
    tag: `spark_gateway.${key}`,
    type: {
      case: 'metadata',
      value: {
        kind: { kind: { case: 'request', value: {} } },
        metadataKey: {
          key: AUTHZ_METADATA_NAMESPACE,
          path: [{ segment: { case: 'key', value: key } }],
        },
      },
    },
  }),
);
