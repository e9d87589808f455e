import { once } from 'node:events';
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
import { requestMetrics } from '../../../src/telemetry/access-log/request-metrics.js';
import { AccessLogReceiver } from '../../../src/telemetry/access-log/receiver.js';
import { Forwarder, isPassedOn } from '../../../src/lib/grpc/forward.js';
import type { AuditedRpc } from '../../../src/model/audit.js';
import { GatewayError, GrpcStatus } from '../../../src/model/errors.js';
import { AUTHZ_METADATA_NAMESPACE } from '../../../src/model/names.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { RecordingQueries } from '../../support/queries.js';
import { RecordingSink } from '../../support/recording-sink.js';

const PATH = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';

type EntryInit = MessageInitShape<typeof HTTPAccessLogEntrySchema>;

async function setUp(t: ExecutionContext, clock = new ManualClock()) {
  const sink = new RecordingSink();
  const registry = new Registry();
  const auditLog: AuditedRpc[] = [];
  const leftOutMs: number[] = [];
  const server = new Server();
  const accessLog = new AccessLogReceiver({
    clock,
    logger: pino({ level: 'silent' }),
    audit: { rpc: (rpc) => void auditLog.push(rpc) },
    metrics: requestMetrics(registry),
    onLeftOut: (durationsMs) => void leftOutMs.push(...durationsMs),
    intervalMs: 30_000,
    isPassedOn,
  });
  const queries = new RecordingQueries();
  accessLog.setTarget({ sink, queries });
  accessLog.addTo(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const address = `127.0.0.1:${port}`;
  const client = new Client(address, credentials.createInsecure());
  t.teardown(() => {
    client.close();
    server.forceShutdown();
  });
  const open = () => {
    const call = client.makeClientStreamRequest(
      PATH,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      () => undefined,
    );
    const ended = once(call, 'status');
    return {
      ended,
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
  return { sink, queries, clock, registry, auditLog, leftOutMs, open, accessLog, address };
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
      requestHeaders: {
        authorization: 'Bearer secret',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      },
    },
    response: {
      responseTrailers: { 'grpc-status': String(options.status ?? 0) },
      responseCodeDetails: 'via_upstream',
    },
  };
}

test('a query that has just begun runs, by the header that authz has set, until its own end', async (t) => {
  const { open, sink, clock, auditLog } = await setUp(t);
  const begun: EntryInit = {
    // As Envoy writes it when the request has a connection to its driver.
    commonProperties: {
      accessLogType: AccessLogType.UpstreamPoolReady,
      startTime: timestampFromMs(clock.now()),
    },
    request: {
      path: '/spark.connect.SparkConnectService/ExecutePlan',
      requestId: 'request-1',
      requestHeaders: { 'x-spark-session': 'session-1' },
    },
  };
  const envoy = open();
  envoy.send('envoy-1', [begun]);
  const opened = await sink.next(({ kind }) => kind === 'opened');
  t.like(opened, { id: 'session-1', streamId: 'envoy-1/request-1' });
  t.is(auditLog.length, 0);
  envoy.send(undefined, [entry(clock)]);
  const closed = await sink.next(({ kind }) => kind === 'closed');
  t.is(closed.streamId, opened.streamId);
  t.is(auditLog.length, 1);
});

test('the end of an RPC is activity, an audit line and a metric', async (t) => {
  const { open, sink, clock, auditLog, registry } = await setUp(t);
  open().send('envoy-1', [entry(clock)]);
  await sink.next(({ kind }) => kind === 'activity');
  const [line] = auditLog;
  t.like(line, {
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
    envoy: 'envoy-1',
    traceId: '0af7651916cd43dd8448eb211c80319c',
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

/** Two replicas: what Envoys tell the first goes on to the second, which leads. */
async function setUpReplicas(t: ExecutionContext) {
  const leader = await setUp(t);
  const follower = await setUp(t, leader.clock);
  const forwarder = new Forwarder({
    credentials: credentials.createInsecure(),
    unavailable: () => new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'nobody leads'),
  });
  t.teardown(() => forwarder.close());
  const follow = (address: string | undefined) => {
    forwarder.setTarget(address);
    follower.accessLog.setTarget({ open: () => forwarder.openClientStream(PATH) });
  };
  follow(leader.address);
  return { leader, follower, follow, clock: leader.clock };
}

test('what a follower receives it audits, and the leader hears of the activity', async (t) => {
  const { leader, follower, clock } = await setUpReplicas(t);
  const stream = follower.open();
  stream.send('envoy-1', [entry(clock, { session: 'a' })]);
  await leader.sink.next(({ id }) => id === 'a');
  stream.send(undefined, [entry(clock, { session: 'b' })]);
  await leader.sink.next(({ id }) => id === 'b');
  t.deepEqual(
    follower.auditLog.map(({ session, envoy }) => [session, envoy]),
    [
      ['a', 'envoy-1'],
      ['b', 'envoy-1'],
    ],
  );
  t.deepEqual(leader.auditLog, []);
  t.regex(await leader.registry.metrics(), /spark_gateway_access_log_reporters 0/);
  t.is(leader.sink.events.find(({ kind }) => kind === 'connected')?.id, 'envoy-1');
});

test('of small RPCs that succeeded a follower passes on one for each session in a message, and how long the others took', async (t) => {
  const { leader, follower, clock } = await setUpReplicas(t);
  const stream = follower.open();
  stream.send('envoy-1', [entry(clock, { session: 'a' })]);
  await leader.sink.next(({ id }) => id === 'a');
  const small = (session: string, method = 'AnalyzePlan') => entry(clock, { session, method });
  const queries = leader.queries.events.length;
  stream.send(undefined, [
    ...Array.from({ length: 20 }, () => small('b')),
    small('c', 'Config'),
    ...Array.from({ length: 2 }, () =>
      entry(clock, { session: 'd', method: 'Config', status: 13 }),
    ),
    ...Array.from({ length: 2 }, () => small('e', 'ExecutePlan')),
    ...Array.from({ length: 2 }, () => small('f', 'ReleaseSession')),
    small('b'),
  ]);
  stream.send(undefined, [small('last')]);
  await leader.sink.next(({ id }) => id === 'last');
  const told = leader.sink.events.slice(2).map(({ kind, id }) => `${kind} ${id}`);
  t.deepEqual(told, [
    'activity c',
    ...['d', 'd', 'e', 'e'].map((id) => `activity ${id}`),
    'activity f',
    'released f',
    'activity f',
    'released f',
    'activity b',
    'activity last',
  ]);
  t.deepEqual(
    leader.leftOutMs,
    Array.from({ length: 20 }, () => 1500),
  );
  t.is(leader.queries.events.length - queries, 2);
  t.is(follower.auditLog.length, 30);
});

test('without a leader records are audited still, and the next leader hears of the Envoy', async (t) => {
  const { leader, follower, follow, clock } = await setUpReplicas(t);
  follow(undefined);
  const stream = follower.open();
  stream.send('envoy-1', [entry(clock, { session: 'unheard' })]);
  const other = follower.open();
  other.send('envoy-2', [{}]);
  await untilMetric(follower.registry, /malformed_total 1/);
  t.is(follower.auditLog.length, 1);
  follow(leader.address);
  stream.send(undefined, [entry(clock, { session: 'heard' })]);
  await leader.sink.next(({ id }) => id === 'heard');
  t.false(leader.sink.events.some(({ id }) => id === 'unheard'));
  t.is(leader.sink.events.find(({ kind }) => kind === 'connected')?.id, 'envoy-1');
});

test('when the leader has gone, whom a follower told it of are gone for it, and back with the next', async (t) => {
  const { leader, follower, follow, clock } = await setUpReplicas(t);
  const next = await setUp(t, clock);
  const stream = follower.open();
  stream.send('envoy-1', [entry(clock, { session: 'a' })]);
  await leader.sink.next(({ id }) => id === 'a');
  leader.accessLog.setTarget({ open: () => undefined });
  t.is((await leader.sink.next(({ kind }) => kind === 'disconnected')).id, 'envoy-1');
  follow(next.address);
  stream.send(undefined, [entry(clock, { session: 'b' })]);
  await next.sink.next(({ id }) => id === 'b');
  t.is(next.sink.events.find(({ kind }) => kind === 'connected')?.id, 'envoy-1');
  t.is(follower.auditLog.length, 2);
});

test('a stream to the leader that was cut is made again', async (t) => {
  const { leader, follower, clock } = await setUpReplicas(t);
  const stream = follower.open();
  stream.send('envoy-1', [entry(clock, { session: 'a' })]);
  await leader.sink.next(({ id }) => id === 'a');
  const sink = new RecordingSink();
  // Ends what was passed on.
  leader.accessLog.setTarget({ sink, queries: new RecordingQueries() });
  await leader.sink.next(({ kind }) => kind === 'disconnected');
  for (let count = 1; sink.events.length === 0; count += 1) {
    stream.send(undefined, [entry(clock, { session: 'b' })]);
    await untilMetric(follower.registry, new RegExp(`success_total\\{.*\\} ${count + 1}`));
    await settle();
  }
  t.is(sink.events[0]?.id, 'envoy-1');
});

test('a replica that begins to lead hears of streams that were open before', async (t) => {
  const { follower, clock } = await setUpReplicas(t);
  const stream = follower.open();
  stream.send('envoy-1', [entry(clock, { session: 'a' })]);
  await untilMetric(follower.registry, /success_total\{.*\} 1/);
  const sink = new RecordingSink();
  follower.accessLog.setTarget({ sink, queries: new RecordingQueries() });
  stream.send(undefined, [entry(clock, { session: 'b' })]);
  await sink.next(({ id }) => id === 'b');
  t.deepEqual(
    sink.events.map(({ kind }) => kind),
    ['connected', 'activity'],
  );
});

test('a process that ends says so to the Envoys', async (t) => {
  const { open, accessLog, clock, sink } = await setUp(t);
  const stream = open();
  stream.send('envoy-1', [entry(clock)]);
  await sink.next(({ kind }) => kind === 'activity');
  accessLog.close(new GatewayError('SHUTTING_DOWN', 'ends'));
  const [status] = (await stream.ended) as [{ readonly code: number }];
  t.is(status.code, GrpcStatus.UNAVAILABLE);
});

/** Records arrive when they do; asks until the metrics show them. */
async function untilMetric(registry: Registry, pattern: RegExp): Promise<void> {
  while (!pattern.test(await registry.metrics())) await settle();
}

/** A query as a record tells of it. */
const runningQuery = {
  requestId: 'request-1',
  sessionId: 'session-1',
  principal: { issuer: 'https://issuer.example.com', subject: 'ada@example.com' },
  team: 'search',
  namespace: 'sjns-search-test',
};

function running(clock: ManualClock, options: EntryOptions = {}): EntryInit {
  const { commonProperties, ...rest } = entry(clock, options);
  const accessLogType = AccessLogType.DownstreamPeriodic;
  return { ...rest, commonProperties: { ...commonProperties, accessLogType } as never };
}

test('queries are told with whose they are and when they end, also by those who went away; other RPCs are not', async (t) => {
  const { open, sink, queries, clock } = await setUp(t);
  const stream = open();
  stream.send('envoy-1', [
    running(clock),
    running(clock, { method: 'AddArtifacts' }),
    entry(clock, { method: 'AnalyzePlan' }),
    entry(clock, { metadata: {}, method: 'ReattachExecute' }),
    running(clock, { metadata: { session: 'session-1' } }),
    entry(clock),
  ]);
  await sink.next(({ kind }) => kind === 'closed');
  stream.cancel();
  await sink.next(({ kind }) => kind === 'disconnected');
  t.deepEqual(queries.events, [
    ['running', runningQuery],
    ['ended', 'request-1'],
    ['ended', 'request-1'],
    ['lost'],
  ]);
});

test('the leader hears of queries that a follower is told of', async (t) => {
  const { leader, follower, clock } = await setUpReplicas(t);
  const stream = follower.open();
  stream.send('envoy-1', [running(clock), entry(clock)]);
  await leader.sink.next(({ kind }) => kind === 'closed');
  t.deepEqual(leader.queries.events, [
    ['running', runningQuery],
    ['ended', 'request-1'],
  ]);
  t.deepEqual(follower.queries.events, []);
});
