/**
 * Access logs as busy Envoys send them, for as long as the process lives: as fast as they are taken, in
 * messages of the size that Envoy is told (src/envoy/local-replies.ts).
 */
import { once } from 'node:events';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Client, credentials } from '@grpc/grpc-js';
import {
  AccessLogType,
  HTTPAccessLogEntrySchema,
} from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import {
  AccessLogService,
  StreamAccessLogsMessageSchema,
} from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { packed } from '../../src/authz/check-codec.js';
import { AccessMetadata, AUTHZ_METADATA_NAMESPACE } from '../../src/model/names.js';

/** Two Envoys with two worker threads each. */
const STREAMS = 4;
const MESSAGE_BYTES = 64 * 1024;
const METHODS = ['ReleaseExecute', 'ReleaseExecute', 'ReleaseExecute', 'ExecutePlan', 'Config'];

function entry(index: number): MessageInitShape<typeof HTTPAccessLogEntrySchema> {
  const id = `0000${index.toString(16)}-3c1d-4a52-9d0a-6f1f6b9f4a11`;
  return {
    commonProperties: {
      streamId: id,
      accessLogType: AccessLogType.DownstreamEnd,
      startTime: timestampFromMs(Date.now()),
      duration: durationFromMs(index % 300),
      downstreamWireBytesReceived: 412n,
      downstreamWireBytesSent: 230n,
      downstreamRemoteAddress: {
        address: { case: 'socketAddress', value: { address: '10.20.30.40' } },
      },
      metadata: {
        filterMetadata: {
          [AUTHZ_METADATA_NAMESPACE]: {
            [AccessMetadata.packed]: packed({
              session: `5f0c1f5e-3c1d-4a52-9d0a-${String(index % 1000).padStart(12, '0')}`,
              principal: 'ada@example.com',
              issuer: 'https://issuer.example.com/oauth2/default',
              team: 'search',
              environment: 'prod',
              namespace: 'sjns-search-prod',
              driver: '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10',
              claimed_user: 'ada',
            }),
          },
        },
      },
    },
    request: {
      path: `/spark.connect.SparkConnectService/${METHODS[index % METHODS.length]}`,
      requestHeaders: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    },
    response: {
      responseTrailers: { 'grpc-status': '0' },
      responseCodeDetails: 'via_upstream',
    },
  };
}

function message(node: string): Buffer {
  const entries: MessageInitShape<typeof HTTPAccessLogEntrySchema>[] = [];
  for (let bytes = 0; bytes < MESSAGE_BYTES;) {
    const next = create(HTTPAccessLogEntrySchema, entry(entries.length));
    bytes += toBinary(HTTPAccessLogEntrySchema, next).length;
    entries.push(next);
  }
  return Buffer.from(
    toBinary(
      StreamAccessLogsMessageSchema,
      create(StreamAccessLogsMessageSchema, {
        identifier: { node: { id: node }, logName: 'spark_connect' },
        logEntries: { case: 'httpLogs', value: { logEntry: entries } },
      }),
    ),
  );
}

async function stream(address: string, index: number): Promise<never> {
  const { name } = AccessLogService.method.streamAccessLogs;
  // A connection for each: grpc-js shares one among clients of the same address.
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const call = client.makeClientStreamRequest(
    `/${AccessLogService.typeName}/${name}`,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    () => undefined,
  );
  const bytes = message(`envoy-${index % 2}`);
  for (;;) if (!call.write(bytes)) await once(call, 'drain');
}

await Promise.all(
  Array.from({ length: STREAMS }, (_, index) => stream(process.argv[2] ?? '', index)),
);
