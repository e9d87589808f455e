/** What a client is told when Envoy itself answers. The text becomes `grpc-message`. */
import { create } from '@bufbuild/protobuf';
import {
  type AccessLogFilter,
  AccessLogFilterSchema,
} from '#gen/envoy/config/accesslog/v3/accesslog_pb.js';
import {
  type LocalReplyConfig,
  LocalReplyConfigSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { AccessMetadata, AUTHZ_METADATA_NAMESPACE } from '../../model/names.js';

const UNAVAILABLE = 503;

/** Response flags: https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage */
export function localReplies(): LocalReplyConfig {
  return create(LocalReplyConfigSchema, {
    mappers: [
      reply(
        responseFlags('SI'),
        'The request sent nothing for too long before it had a driver. Send it again.',
      ),
      reply(
        responseFlags('NFCF'),
        'The gateway has no configuration from its control plane yet; it refuses every request until then.',
      ),
      reply(
        allOf(responseFlags('UAEX'), withoutRefusal()),
        "The gateway's authorization service does not answer; retry.",
      ),
      reply(
        responseFlags('UH', 'NC'),
        "The gateway has no way to the session's Spark driver now; retry.",
      ),
    ],
  });
}

function reply(filter: AccessLogFilter, text: string) {
  return {
    filter,
    statusCode: UNAVAILABLE,
    body: { specifier: { case: 'inlineString' as const, value: text } },
  };
}

function responseFlags(...flags: string[]): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: { case: 'responseFlagFilter', value: { flags } },
  });
}

/** authz gives every refusal a code, so a denial without one is authz not answering. */
function withoutRefusal(): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: 'metadataFilter',
      value: {
        matcher: {
          filter: AUTHZ_METADATA_NAMESPACE,
          path: [{ segment: { case: 'key', value: AccessMetadata.refusal } }],
          value: { matchPattern: { case: 'nullMatch', value: {} } },
        },
        matchIfKeyNotFound: true,
      },
    },
  });
}

function allOf(...filters: AccessLogFilter[]): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: { case: 'andFilter', value: { filters } },
  });
}
