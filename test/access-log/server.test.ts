import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs, durationFromMs } from '@bufbuild/protobuf/wkt';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import {
  AccessLogType,
  HTTPAccessLogEntrySchema,
} from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { StreamAccessLogsMessageSchema } from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { requestMetrics } from '../../src/access-log/metrics.js';
import { addAccessLogService } from '../../src/access-log/server.js';
import { AUTHZ_METADATA_NAMESPACE } from '../../src/model/names.js';
import { ManualClock } from '../support/manual-clock.js';
import { RecordingSink } from '../support/recording-sink.js';

type EntryInit = MessageInitShape<typeof HTTPAccessLogEntrySchema>;

async function setUp(t: ExecutionContext) {
  const sink = new RecordingSink();
  const clock = new ManualClock();
  const registry = new Registry();
  const auditLog: Record<string, unknown>[] = [];
  const server = new Server();
  addAccessLogService(server, {
    sink,
    clock,
    logger: pino({ level: 'silent' }),
    auditLogger: pino({}, { write: (line: string) => auditLog.push(JSON.parse(line)) }),
    metrics: requestMetrics(registry),
    intervalMs: 30_000,
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.1.2.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const client = new Client(`127.1.2.1:${port}`, credentials.createInsecure());
  t.teardown(() => {
    client.close();
    server.forceShutdown();
  });
  const open = () => {
    const call = client.makeClientStreamRequest(
      '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      () => undefined,
    );
    return {
      raw: (bytes: Buffer) => call.write(bytes),
      send: (node: string | undefined, entries: EntryInit[]) =>
        call.write(
          Buffer.from(
            toBinary(
              StreamAccessLogsMessageSchema,
              create(StreamAccessLogsMessageSchema, {
                ...(node === undefined
                  ? {}
                  : { identifier: { node: { id: node }, logName: 'spark_connect' } }),
                logEntries: { case: 'httpLogs', value: { logEntry: entries } },
              }),
            ),
          ),
        ),
      end: () => call.end(),
      cancel: () => call.cancel(),
    };
  };
  return { sink, clock, registry, auditLog, open };
}

interface EntryOptions {
  readonly session?: string;
  readonly startedMs?: number;
  /** In place of what authz finds out about an allowed request. */
  readonly metadata?: Record<string, string>;
  readonly method?: string;
  readonly status?: number;
}

function entry(clock: ManualClock, options: EntryOptions = {}): EntryInit {
  return {
    commonProperties: {
      streamId: 'request-1',
      accessLogType: AccessLogType.DownstreamEnd,
      startTime: timestampFromMs(options.startedMs ?? clock.now()),
      duration: durationFromMs(1500),
      downstreamWireBytesReceived: 100n,
      downstreamWireBytesSent: 200n,
      metadata: {
        filterMetadata: {
          [AUTHZ_METADATA_NAMESPACE]: options.metadata ?? {
            session: options.session ?? 'session-1',
            principal: 'ada@example.com',
            issuer: 'https://issuer.example.com',
            team: 'search',
            environment: 'test',
            namespace: 'sjns-search-test',
            driver: 'uid-1',
            claimed_user: 'ada',
          },
        },
      },
    },
    request: {
      path: `/spark.connect.SparkConnectService/${options.method ?? 'ExecutePlan'}`,
      requestHeaders: { authorization: 'Bearer secret' },
    },
    response: {
      responseTrailers: { 'grpc-status': String(options.status ?? 0) },
      responseCodeDetails: 'via_upstream',
    },
  };
}

test('the end of an RPC is activity, an audit line and a metric', async (t) => {
  const { open, sink, clock, auditLog, registry } = await setUp(t);
  open().send('envoy-1', [entry(clock)]);
  await sink.next(({ kind }) => kind === 'activity');
  const [line] = auditLog;
  t.like(line, {
    msg: 'rpc',
    method: 'ExecutePlan',
    session: 'session-1',
    principal: 'ada@example.com',
    team: 'search',
    environment: 'test',
    driver: 'uid-1',
    claimedUser: 'ada',
    grpcStatus: 0,
    durationMs: 1500,
    bytesReceived: 100,
    bytesSent: 200,
    requestId: 'request-1',
  });
  t.notRegex(JSON.stringify(line), /secret/);
  t.regex(
    await registry.metrics(),
    /spark_gateway_request_success_total\{method="ExecutePlan",team="search",environment="test"\} 1/,
  );
});

test('an Envoy is one reporter however many streams its threads have', async (t) => {
  const { open, sink, clock } = await setUp(t);
  const first = open();
  first.send('envoy-1', [entry(clock, { session: 'a' })]);
  await sink.next(({ id }) => id === 'a');
  const second = open();
  second.send('envoy-1', [entry(clock, { session: 'b' })]);
  await sink.next(({ id }) => id === 'b');
  first.cancel();
  // Another Envoy's arrival shows that the end of the first stream has been seen.
  open().send('envoy-2', [entry(clock, { session: 'c' })]);
  await sink.next(({ id }) => id === 'c');
  const reporters = () =>
    sink.events.filter(({ kind }) => kind === 'connected' || kind === 'disconnected');
  t.deepEqual(
    reporters().map(({ kind, id }) => `${kind} ${id}`),
    ['connected envoy-1', 'connected envoy-2'],
  );
  second.end();
  await sink.next(({ kind }) => kind === 'disconnected');
  t.is(reporters().at(-1)?.id, 'envoy-1');
});

test('an Envoy that reports what began before this process is told as gone, then back', async (t) => {
  const { open, sink, clock } = await setUp(t);
  open().send('envoy-1', [entry(clock, { startedMs: clock.now() - 60_000 })]);
  await sink.next(({ kind }) => kind === 'activity');
  t.deepEqual(
    sink.events.slice(0, 2).map(({ kind }) => kind),
    ['disconnected', 'connected'],
  );
});

test('what is malformed is counted and the rest of the stream goes on', async (t) => {
  const { open, sink, clock, registry } = await setUp(t);
  const stream = open();
  stream.send('envoy-1', [{}, entry(clock, { session: 'a' }), { commonProperties: {} }]);
  stream.raw(Buffer.from('ffff', 'hex'));
  stream.send(undefined, [entry(clock, { session: 'b' })]);
  await sink.next(({ id }) => id === 'b');
  t.true(sink.events.some(({ id }) => id === 'a'));
  t.regex(await registry.metrics(), /spark_gateway_access_log_malformed_total 3/);
});

test('refused requests make no series of their own', async (t) => {
  const { open, sink, clock, registry } = await setUp(t);
  open().send('envoy-1', [
    entry(clock, {
      metadata: { team: 'invented-team', refusal: 'NAMESPACE_REFUSED' },
      method: 'Invented',
      status: 7,
    }),
    entry(clock, { session: 'after' }),
  ]);
  await sink.next(({ id }) => id === 'after');
  const text = await registry.metrics();
  t.notRegex(text, /invented/i);
  t.regex(text, /errors_total\{method="other",team="",environment="",grpc_status="7"\} 1/);
});
