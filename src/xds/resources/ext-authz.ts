/** ECDS: the filter that asks authz. Sent apart from the listener, so that a change cuts no stream. */
import { create } from '@bufbuild/protobuf';
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js';
import {
  type TypedExtensionConfig,
  TypedExtensionConfigSchema,
} from '#gen/envoy/config/core/v3/extension_pb.js';
import { ExtAuthzSchema } from '#gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js';
import { CLIENT_ADDRESS_HEADER } from '../../model/names.js';
import { grpcService, pack } from './common.js';
import { type AuthzSettings, checkTimeoutMs, ResourceNames, StaticClusters } from './settings.js';

/** Holds `session_id` and `user_context` of every Spark Connect request. */
const BODY_PREFIX_BYTES = 1024;

/** Headers that authz needs whatever the policy says. */
const alwaysSent = [
  'authorization',
  'authentication',
  'content-type',
  'grpc-encoding',
  'user-agent',
  'x-request-id',
  CLIENT_ADDRESS_HEADER,
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
