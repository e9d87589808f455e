/** What a client is told when Envoy itself answers. The text becomes `grpc-message`. */
import { create } from '@bufbuild/protobuf';
import {
  type AccessLogFilter,
  AccessLogFilterSchema,
  ComparisonFilter_Op,
  GrpcStatusFilter_Status,
  type AccessLog,
  AccessLogSchema,
} from '#gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js';
import { AccessLogType } from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import {
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from '#gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import {
  type LocalReplyConfig,
  LocalReplyConfigSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { GrpcStatus } from '../model/errors.js';
import {
  AccessMetadata,
  AUTHZ_METADATA_NAMESPACE,
  COUNTED_RPC,
  LEASED_HEADER,
  QUERY_RPCS,
  rpcPath,
  SESSION_HEADER,
  TRACE_HEADER,
} from '../model/names.js';
import { duration, grpcService, MAX_WAIT_BYTES, pack, StaticClusters } from './settings.js';

const UNAVAILABLE = 503;
const REQUEST_TIMEOUT = 408;
const TOO_LARGE = 413;

/** Response flags: https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage */
export function localReplies(): LocalReplyConfig {
  return create(LocalReplyConfigSchema, {
    mappers: [
      reply(
        responseFlags('SI'),
        'The request sent nothing for too long before it had a driver. Send it again.',
      ),
      reply(
        status(REQUEST_TIMEOUT),
        'The first message of the request did not come in time. Send it again.',
      ),
      {
        ...reply(
          status(TOO_LARGE),
          `The request is longer than ${MAX_WAIT_BYTES / 1024 ** 2} MiB, the most that one of its kind may be.`,
        ),
        // No status of HTTP stands for this one.
        headersToAdd: [
          { header: { key: 'grpc-status', value: String(GrpcStatus.RESOURCE_EXHAUSTED) } },
        ],
      },
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

/** No response flag tells of a request that took longer than its route allows, or is larger. */
function status(code: number): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: 'statusCodeFilter',
      value: {
        comparison: {
          op: ComparisonFilter_Op.EQ,
          value: { defaultValue: code, runtimeKey: `spark_gateway.status_${code}` },
        },
      },
    },
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

function anyOf(...filters: AccessLogFilter[]): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: { case: 'orFilter', value: { filters } },
  });
}

function failed(): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: 'grpcStatusFilter',
      value: { statuses: [GrpcStatusFilter_Status.OK], exclude: true },
    },
  });
}

// Envoy's access log of the front: gRPC records to the control plane (src/telemetry/access-log reads them).

/**
 * One record at the end of each request and one every interval while it runs. They carry the dynamic
 * metadata of authz (session, principal, driver).
 *
 * Nearly all requests are ReleaseExecute. One that succeeds says nothing that the record of what it releases
 * has not said, so there is no record of it: Envoy counts them (docs/decisions/records-for-what-matters.md).
 */
export function frontAccessLog(): AccessLog {
  const types = logTypes(AccessLogType.DownstreamPeriodic, AccessLogType.DownstreamEnd);
  return requestLog(
    allOf(types, anyOf(pathOf(rpcPath(COUNTED_RPC), { invertMatch: true }), failed())),
  );
}

/**
 * One record when a query has a connection to its driver: so it is seen to run before its first interval is over. It
 * says whose session it is by the header that authz has set; a record of the request's own start would come before
 * authz was asked.
 */
export function queryStartLog(): AccessLog {
  const queries = QUERY_RPCS.map((rpc) => pathOf(rpcPath(rpc)));
  const started = allOf(logTypes(AccessLogType.UpstreamPoolReady), anyOf(...queries));
  return requestLog(started, SESSION_HEADER);
}

/** Logs of one configuration share a stream and its order. */
function requestLog(filter: AccessLogFilter, ...headers: string[]): AccessLog {
  return create(AccessLogSchema, {
    name: 'envoy.access_loggers.http_grpc',
    filter,
    configType: {
      case: 'typedConfig',
      value: pack(HttpGrpcAccessLogConfigSchema, {
        commonConfig: {
          logName: 'spark_connect',
          grpcService: grpcService(StaticClusters.accessLog),
          transportApiVersion: ApiVersion.V3,
          // The next query of a client at its limit waits for the record of the last one's end.
          bufferFlushInterval: duration(200),
          // Fewer messages of a busy worker: each costs the control plane its gRPC.
          bufferSizeBytes: 64 * 1024,
        },
        additionalRequestHeadersToLog: [TRACE_HEADER, LEASED_HEADER, ...headers],
        // The message stands in answers that are no success, and tells of sessions that drivers have ended.
        additionalResponseHeadersToLog: ['grpc-status', 'grpc-message'],
        additionalResponseTrailersToLog: ['grpc-status', 'grpc-message'],
      }),
    },
  });
}

function logTypes(...types: AccessLogType[]): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: { case: 'logTypeFilter', value: { types } },
  });
}

/** @param invertMatch requests of any other path */
function pathOf(path: string, { invertMatch = false } = {}): AccessLogFilter {
  return create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: 'headerFilter',
      value: {
        header: {
          name: ':path',
          invertMatch,
          headerMatchSpecifier: {
            case: 'stringMatch',
            value: { matchPattern: { case: 'exact', value: path } },
          },
        },
      },
    },
  });
}

/** One record at the end of each client's connection: a client that goes may say nothing more. */
export function connectionLog(): AccessLog {
  return create(AccessLogSchema, {
    name: 'envoy.access_loggers.tcp_grpc',
    configType: {
      case: 'typedConfig',
      value: pack(TcpGrpcAccessLogConfigSchema, {
        commonConfig: {
          logName: 'spark_connect_connections',
          grpcService: grpcService(StaticClusters.accessLog),
          transportApiVersion: ApiVersion.V3,
          bufferFlushInterval: duration(1_000),
          bufferSizeBytes: 16 * 1024,
        },
      }),
    },
  });
}
