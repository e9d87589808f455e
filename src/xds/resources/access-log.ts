/** Envoy's access log of the front: gRPC records to the control plane (src/access-log reads them). */
import { create } from '@bufbuild/protobuf';
import { type AccessLog, AccessLogSchema } from '#gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js';
import { AccessLogType } from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { HttpGrpcAccessLogConfigSchema } from '#gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import { TRACE_HEADER } from '../../model/names.js';
import { duration, grpcService, pack } from './common.js';
import { StaticClusters } from './settings.js';

/**
 * One record at the end of each request and one every interval while it runs. They carry the dynamic
 * metadata of authz (session, principal, driver). There is none at a start: Envoy writes that record
 * before it has asked authz, so it could not say whose session it is; authz reports starts itself.
 */
export function frontAccessLog(): AccessLog {
  return create(AccessLogSchema, {
    name: 'envoy.access_loggers.http_grpc',
    filter: {
      filterSpecifier: {
        case: 'andFilter',
        value: {
          filters: [
            { filterSpecifier: { case: 'notHealthCheckFilter', value: {} } },
            {
              filterSpecifier: {
                case: 'logTypeFilter',
                value: { types: [AccessLogType.DownstreamPeriodic, AccessLogType.DownstreamEnd] },
              },
            },
          ],
        },
      },
    },
    configType: {
      case: 'typedConfig',
      value: pack(HttpGrpcAccessLogConfigSchema, {
        commonConfig: {
          logName: 'spark_connect',
          grpcService: grpcService(StaticClusters.accessLog),
          transportApiVersion: ApiVersion.V3,
          // The next query of a client at its limit waits for the record of the last one's end.
          bufferFlushInterval: duration(200),
          bufferSizeBytes: 16 * 1024,
        },
        additionalRequestHeadersToLog: [TRACE_HEADER],
        additionalResponseHeadersToLog: ['grpc-status'],
        additionalResponseTrailersToLog: ['grpc-status'],
      }),
    },
  });
}
