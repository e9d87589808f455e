/** The filters a request passes, in order, and what happens to its headers before the first. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js';
import {
  type TypedExtensionConfig,
  TypedExtensionConfigSchema,
} from '#gen/envoy/config/core/v3/extension_pb.js';
import { ExtAuthzSchema } from '#gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { RouterSchema } from '#gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { StatefulSessionSchema } from '#gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HeaderBasedSessionStateSchema } from '#gen/envoy/extensions/http/stateful_session/header/v3/header_pb.js';
import { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js';
import { TypedStructSchema } from '#gen/xds/type/v3/typed_struct_pb.js';
import {
  CLIENT_ADDRESS_HEADER,
  INTERNAL_HEADER_PREFIX,
  LEASE_HEADER,
  PIN_HEADER,
  BODY_PREFIX_BYTES,
} from '../model/names.js';
import { queryStartLog } from './local-replies.js';
import { newSessionIdFilter } from './clone-session.js';
import {
  fromAds,
  pack,
  TYPE_PREFIX,
  ResourceNames,
  grpcService,
  type AuthzSettings,
  checkTimeoutMs,
  StaticClusters,
} from './settings.js';
import { countsFilter, leaseFilter } from './lease.js';
import { uploadLimitFilter } from './upload-limit.js';

/**
 * Removes what a client must not say: every `x-spark-` header, on which the gateway routes, and every
 * `x-envoy-` header, with which a client could set timeouts, retries and hedging. Runs before routing
 * and before any filter. `remove_on_match` is newer than the protos at hand, hence a TypedStruct.
 */
export function withoutInternalHeaders(): TypedExtensionConfig {
  return create(TypedExtensionConfigSchema, {
    name: 'envoy.http.early_header_mutation.header_mutation',
    typedConfig: pack(TypedStructSchema, {
      typeUrl: `${TYPE_PREFIX}envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation`,
      value: {
        mutations: [INTERNAL_HEADER_PREFIX, 'x-envoy-'].map((prefix) => ({
          remove_on_match: { key_matcher: { prefix, ignore_case: true } },
        })),
      },
    }),
  });
}

/**
 * Tells authz who the client is behind trusted proxies: what ext_authz itself says of the client is
 * the address of the connection, whatever `x-forwarded-for` has been taken for.
 */
function clientAddress(): HttpFilter {
  return filter('envoy.filters.http.header_mutation', {
    case: 'typedConfig',
    value: pack(TypedStructSchema, {
      typeUrl: `${TYPE_PREFIX}envoy.extensions.filters.http.header_mutation.v3.HeaderMutation`,
      value: {
        mutations: {
          request_mutations: [
            {
              append: {
                header: {
                  key: CLIENT_ADDRESS_HEADER,
                  value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
                },
                append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
              },
            },
          ],
        },
      },
    }),
  });
}

/** @param trustedProxies proxies in front that say who the client is. */
export function httpFilters(trustedProxies: number): HttpFilter[] {
  return [
    ...(trustedProxies > 0 ? [clientAddress()] : []),
    leaseFilter(),
    // No default: until the control plane has sent the filter, the listener does not open, and should
    // it ever be taken away, every request is refused.
    filter(ResourceNames.extAuthz, {
      case: 'configDiscovery',
      value: {
        configSource: fromAds(),
        typeUrls: [`${TYPE_PREFIX}envoy.extensions.filters.http.ext_authz.v3.ExtAuthz`],
      },
    }),
    countsFilter(),
    newSessionIdFilter(),
    filter('envoy.filters.http.stateful_session', {
      case: 'typedConfig',
      value: pack(StatefulSessionSchema, {
        sessionState: {
          name: 'envoy.http.stateful_session.header',
          typedConfig: pack(HeaderBasedSessionStateSchema, { name: PIN_HEADER }),
        },
        strict: true,
      }),
    }),
    uploadLimitFilter(),
    filter('envoy.filters.http.router', {
      case: 'typedConfig',
      value: pack(RouterSchema, {
        suppressEnvoyHeaders: true,
        // Counters and times by status of HTTP, which is 200 whatever a gRPC call came to.
        dynamicStats: false,
        upstreamLog: [queryStartLog()],
        upstreamLogOptions: { flushUpstreamLogOnUpstreamStream: true },
      }),
    }),
  ];
}

type FilterConfig = NonNullable<MessageInitShape<typeof HttpFilterSchema>['configType']>;

function filter(name: string, configType: FilterConfig): HttpFilter {
  return create(HttpFilterSchema, { name, configType });
}

// ECDS: the filter that asks authz. Sent apart from the listener, so that a change cuts no stream.

/** Headers that authz needs whatever the policy says. */
const alwaysSent = [
  'authorization',
  'authentication',
  'grpc-encoding',
  'x-request-id',
  CLIENT_ADDRESS_HEADER,
  LEASE_HEADER,
];

/**
 * Sends the first bytes of the body and few headers: the smaller the check, the cheaper. Fails closed:
 * without an answer the client gets UNAVAILABLE, which it retries.
 */
export function extAuthz(settings: AuthzSettings): TypedExtensionConfig {
  const names = new Set([...alwaysSent, ...settings.headers.map((name) => name.toLowerCase())]);
  return create(TypedExtensionConfigSchema, {
    name: ResourceNames.extAuthz,
    typedConfig: pack(ExtAuthzSchema, {
      services: {
        case: 'grpcService',
        value: grpcService(StaticClusters.extAuthz, checkTimeoutMs(settings)),
      },
      transportApiVersion: ApiVersion.V3,
      failureModeAllow: false,
      statusOnError: { code: StatusCode.ServiceUnavailable },
      withRequestBody: {
        maxRequestBytes: BODY_PREFIX_BYTES,
        allowPartialMessage: true,
        packAsBytes: true,
      },
      clearRouteCache: true,
      includePeerCertificate: true,
      allowedHeaders: {
        patterns: [...names].toSorted().map((name) => ({
          matchPattern: { case: 'exact' as const, value: name },
          ignoreCase: false,
        })),
      },
    }),
  });
}
