import {
  AccessLogType,
  type HTTPAccessLogEntry,
  HTTPAccessLogEntrySchema,
} from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { StreamAccessLogsMessageSchema } from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { create, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import * as fc from 'fast-check';
import { Registry } from 'prom-client';
import { packed } from '../../../src/authz/check-codec.js';
import { MalformedMessage } from '../../../src/lib/protobuf/wire.js';
import type { EnvoyCounts } from '../../../src/model/envoy-counts.js';
import { AccessMetadata, AUTHZ_METADATA_NAMESPACE } from '../../../src/model/names.js';
import type { AccessRecord } from '../../../src/telemetry/access-log/access-record.js';
import { CountedRequests } from '../../../src/telemetry/access-log/counted-requests.js';
import { EntryReader } from '../../../src/telemetry/access-log/entry-reader.js';
import { StreamActivity } from '../../../src/telemetry/access-log/feed.js';
import { requestMetrics } from '../../../src/telemetry/access-log/request-metrics.js';
import { ManualClock } from '../../support/manual-clock.js';
import { RecordingSink } from '../../support/recording-sink.js';
import { tries } from '../../support/tries.js';

// Entries as Envoy sends them.

const anyText = fc.string({ unit: 'grapheme', maxLength: 40 });
const address = fc.record({ host: fc.ipV4(), port: fc.integer({ min: 0, max: 65_535 }) });
const instant = fc.record({
  seconds: fc.bigInt({ min: 0n, max: 2n ** 33n }),
  nanos: fc.integer({ min: 0, max: 999_999_999 }),
});

const facts = fc.record({
  streamId: fc.uuid(),
  type: fc.constantFrom<AccessLogType>(
    AccessLogType.DownstreamPeriodic,
    AccessLogType.DownstreamEnd,
  ),
  start: instant,
  duration: fc.option(instant, { nil: undefined }),
  bytes: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
  remote: address,
  found: fc.record(
    { session: anyText, principal: anyText, team: anyText, refusal: anyText, comes_back: anyText },
    { requiredKeys: [] },
  ),
  isPacked: fc.boolean(),
  foreign: fc.dictionary(anyText, anyText, { maxKeys: 3 }),
  status: fc.option(fc.constantFrom('0', '7', '16', '', '100', 'x'), { nil: undefined }),
  inTrailers: fc.boolean(),
  details: anyText,
});
type Facts = typeof facts extends fc.Arbitrary<infer T> ? T : never;

function entryOf(of: Facts): HTTPAccessLogEntry {
  const socket = {
    address: {
      case: 'socketAddress' as const,
      value: {
        address: of.remote.host,
        portSpecifier: { case: 'portValue' as const, value: of.remote.port },
      },
    },
  };
  const statuses = of.status === undefined ? {} : { 'grpc-status': of.status, other: '1' };
  return create(HTTPAccessLogEntrySchema, {
    commonProperties: {
      accessLogType: of.type,
      streamId: of.streamId,
      startTime: of.start,
      ...(of.duration ? { duration: of.duration } : {}),
      downstreamWireBytesSent: of.bytes,
      downstreamWireBytesReceived: of.bytes,
      downstreamRemoteAddress: socket,
      downstreamDirectRemoteAddress: socket,
      metadata: {
        filterMetadata: {
          other: of.foreign,
          [AUTHZ_METADATA_NAMESPACE]: of.isPacked
            ? { [AccessMetadata.packed]: packed(of.found) }
            : of.found,
        },
      },
    },
    request: {
      path: '/spark.connect.SparkConnectService/ExecutePlan',
      requestHeaders: { traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01` },
    },
    response: {
      responseCodeDetails: of.details,
      responseHeaders: of.inTrailers ? {} : statuses,
      responseTrailers: of.inTrailers ? statuses : {},
    },
  });
}

function message(entries: readonly HTTPAccessLogEntry[], id?: string): Buffer {
  return Buffer.from(
    toBinary(
      StreamAccessLogsMessageSchema,
      create(StreamAccessLogsMessageSchema, {
        ...(id === undefined ? {} : { identifier: { node: { id }, logName: 'log' } }),
        logEntries: { case: 'httpLogs', value: { logEntry: [...entries] } },
      }),
    ),
  );
}

const ms = ({ seconds, nanos }: { seconds: bigint; nanos: number }) =>
  Number(seconds) * 1000 + Math.round(nanos / 1e6);

test('what Envoy writes is read as the generated code writes it', (t) => {
  const reader = new EntryReader();
  fc.assert(
    fc.property(fc.array(facts, { maxLength: 5 }), anyText, (all, id) => {
      const { records, node, malformed } = reader.read(message(all.map(entryOf), id), 'peer');
      t.is(malformed, 0);
      t.is(node ?? '', id);
      t.deepEqual(
        records.map((record) => [
          record.requestId,
          record.envoy,
          record.kind,
          record.startedAtMs,
          record.durationMs,
          record.bytesSent,
          record.bytesReceived,
          record.client,
          record.connection,
          record.session ?? '',
          record.principal ?? '',
          record.team ?? '',
          record.refusal ?? '',
          record.comesBack,
          record.grpcStatus,
          record.details,
          record.method,
          record.traceId,
        ]),
        all.map((of) => [
          of.streamId,
          id || 'peer',
          of.type === AccessLogType.DownstreamEnd ? 'ended' : 'running',
          ms(of.start),
          of.duration && ms(of.duration),
          Number(of.bytes),
          Number(of.bytes),
          of.remote.host,
          `${of.remote.host} ${of.remote.port}`,
          of.found.session ?? '',
          of.found.principal ?? '',
          of.found.team ?? '',
          of.found.refusal ?? '',
          of.found.comes_back === 'true' ? true : undefined,
          ['0', '7', '16'].includes(of.status ?? '') ? Number(of.status) : undefined,
          of.details,
          'ExecutePlan',
          'ab'.repeat(16),
        ]),
      );
    }),
  );
});

test('an entry without what makes a record is counted, and harms no other', (t) => {
  const good: Facts = {
    streamId: 'one',
    type: AccessLogType.DownstreamEnd,
    start: { seconds: 1n, nanos: 0 },
    duration: undefined,
    bytes: 1n,
    remote: { host: '10.0.0.1', port: 1 },
    found: {},
    isPacked: false,
    foreign: {},
    status: '0',
    inTrailers: true,
    details: '',
  };
  const withoutId = entryOf({ ...good, streamId: '' });
  const anotherKind = entryOf({ ...good, type: AccessLogType.DownstreamStart });
  const withoutRequest = entryOf(good);
  delete withoutRequest.request;
  const withoutStart = entryOf(good);
  delete withoutStart.commonProperties?.startTime;
  const read = new EntryReader().read(
    message([withoutId, anotherKind, withoutRequest, withoutStart, entryOf(good)]),
    'peer',
  );
  t.deepEqual(
    read.records.map(({ requestId }) => requestId),
    ['one'],
  );
  t.is(read.malformed, 4);
});

test('bytes that are no message are refused or read, and nothing else', (t) => {
  const reader = new EntryReader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        reader.read(Buffer.from(bytes), 'peer');
      } catch (error) {
        t.true(error instanceof MalformedMessage);
      }
    }),
  );
  t.is(reader.read(Buffer.alloc(0), 'peer').malformed, 1, 'a message without entries');
});

test('what introduces a stream can be put before a later message', (t) => {
  const reader = new EntryReader();
  const first = reader.read(message([], 'envoy-1'), 'peer');
  const joined = Buffer.concat([first.introduction ?? Buffer.alloc(0), message([])]);
  t.is(reader.read(joined, 'peer').node, 'envoy-1');
});

// Sessions in use.

const INTERVAL_MS = 30_000;

function accessRecord(changes: Partial<AccessRecord>): AccessRecord {
  return {
    kind: 'ended',
    requestId: 's1',
    envoy: 'envoy-1',
    startedAtMs: 0,
    durationMs: 1,
    method: 'ExecutePlan',
    session: 'session-1',
    principal: 'ada',
    issuer: 'https://issuer',
    team: 'search',
    environment: 'test',
    namespace: 'sjns-search-test',
    driver: 'uid-1',
    claimedUser: undefined,
    comesBack: undefined,
    sessionClosed: undefined,
    refusal: undefined,
    grpcStatus: 0,
    details: 'via_upstream',
    bytesReceived: 1,
    bytesSent: 1,
    client: '10.0.0.1',
    traceId: undefined,
    connection: undefined,
    ...changes,
  };
}

function setUp() {
  const sink = new RecordingSink();
  const clock = new ManualClock();
  const activity = new StreamActivity('envoy-1', sink, clock, INTERVAL_MS);
  const kinds = () => sink.events.map(({ kind }) => kind);
  return { sink, clock, activity, kinds };
}

test('a short RPC is activity at its end', (t) => {
  const { activity, sink, clock } = setUp();
  activity.record(accessRecord({}));
  t.deepEqual(sink.events, [{ kind: 'activity', id: 'session-1', atMs: clock.now() }]);
});

test('a long RPC is open from its first record until its end', async (t) => {
  const { activity, sink, clock, kinds } = setUp();
  activity.record(accessRecord({ kind: 'running' }));
  for (let i = 0; i < 5; i += 1) {
    await clock.advance(INTERVAL_MS);
    activity.record(accessRecord({ kind: 'running' }));
  }
  t.deepEqual(kinds(), ['opened']);
  activity.record(accessRecord({}));
  t.deepEqual(kinds(), ['opened', 'closed']);
  t.is(sink.events[0]?.streamId, 'envoy-1/s1');
  t.is(sink.events[1]?.streamId, 'envoy-1/s1');
});

test('an RPC whose end was lost is closed as of its last record', async (t) => {
  const { activity, sink, clock, kinds } = setUp();
  activity.record(accessRecord({ kind: 'running' }));
  const firstMs = clock.now();
  await clock.advance(2 * INTERVAL_MS);
  activity.record(accessRecord({ kind: 'running', requestId: 's2', session: 'session-2' }));
  const secondMs = clock.now();
  t.deepEqual(kinds(), ['opened', 'opened']);
  await clock.advance(20 * INTERVAL_MS);
  t.deepEqual(sink.events.slice(2), [
    { kind: 'closed', id: 'session-1', streamId: 'envoy-1/s1', atMs: firstMs },
    { kind: 'closed', id: 'session-2', streamId: 'envoy-1/s2', atMs: secondMs },
  ]);
});

test('when the connection ends, its streams are closed as of now', (t) => {
  const { activity, kinds } = setUp();
  activity.record(accessRecord({ kind: 'running' }));
  activity.close();
  activity.close();
  t.deepEqual(kinds(), ['opened', 'closed']);
});

test('a session is released by a ReleaseSession that the driver answered with OK, and by no other', (t) => {
  const { activity, kinds } = setUp();
  activity.record(accessRecord({ method: 'ReleaseSession', grpcStatus: 14 }));
  activity.record(accessRecord({ method: 'ReleaseSession', grpcStatus: undefined }));
  activity.record(accessRecord({ method: 'ReleaseExecute', grpcStatus: 0 }));
  activity.record(accessRecord({ method: 'ReleaseSession', grpcStatus: 0, comesBack: true }));
  t.false(kinds().includes('released'));
  activity.record(accessRecord({ method: 'ReleaseSession', grpcStatus: 0 }));
  t.is(kinds().filter((kind) => kind === 'released').length, 1);
});

test('a session that its driver says it has closed is told as such', (t) => {
  const { activity, kinds } = setUp();
  activity.record(accessRecord({ grpcStatus: 13 }));
  activity.record(
    accessRecord({ grpcStatus: 13, sessionClosed: true, refusal: 'NAMESPACE_REFUSED' }),
  );
  t.false(kinds().includes('closed-by-driver'));
  activity.record(accessRecord({ grpcStatus: 13, sessionClosed: true }));
  t.is(kinds().filter((kind) => kind === 'closed-by-driver').length, 1);
});

test('two sessions whose client gives all its RPCs one id are told apart', (t) => {
  const { activity, sink } = setUp();
  activity.record(accessRecord({ kind: 'running', session: 'session-1' }));
  activity.record(accessRecord({ kind: 'ended', session: 'session-2' }));
  activity.record(accessRecord({ kind: 'ended', session: 'session-1' }));
  t.deepEqual(
    sink.events.map(({ kind, id }) => `${kind} ${id}`),
    ['opened session-1', 'activity session-2', 'closed session-1'],
  );
});

test('a refused request is no activity of the session that it named', (t) => {
  const { activity, kinds } = setUp();
  activity.record(accessRecord({ refusal: 'SESSION_OF_ANOTHER', grpcStatus: 7 }));
  activity.record(accessRecord({ refusal: 'SESSION_OF_ANOTHER', method: 'ReleaseSession' }));
  activity.record(accessRecord({ session: undefined }));
  t.deepEqual(kinds(), []);
});

test('whatever the order of records, each opened stream is closed exactly once', async (t) => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constantFrom('running' as const, 'ended' as const),
      requestId: fc.constantFrom('a', 'b', 'c'),
    }),
    fc.integer({ min: 1, max: 5 * INTERVAL_MS }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { activity, sink, clock } = setUp();
      for (const next of steps) {
        if (typeof next === 'number') await clock.advance(next);
        else activity.record(accessRecord(next));
      }
      activity.close();
      const open = new Set<string | undefined>();
      for (const { kind, streamId } of sink.events) {
        if (kind === 'opened') {
          t.false(open.has(streamId));
          open.add(streamId);
        }
        if (kind === 'closed') t.true(open.delete(streamId));
      }
      t.is(open.size, 0);
    }),
    { numRuns: tries(50) },
  );
});

// Metrics.

const ended: AccessRecord = {
  kind: 'ended',
  requestId: '1',
  envoy: 'envoy-1',
  startedAtMs: 0,
  durationMs: 20,
  method: 'ExecutePlan',
  session: undefined,
  principal: 'ann',
  issuer: undefined,
  team: 'data',
  environment: 'dev',
  namespace: undefined,
  driver: undefined,
  claimedUser: undefined,
  comesBack: undefined,
  refusal: undefined,
  sessionClosed: undefined,
  grpcStatus: 0,
  details: '',
  bytesReceived: 0,
  bytesSent: 0,
  client: undefined,
  connection: undefined,
  traceId: undefined,
};

test('Prometheus is told of counts and times by method, team and environment, each bucket with those below it', async (t) => {
  const registry = new Registry();
  const metrics = requestMetrics(registry);
  metrics.observe(ended);
  metrics.observe({ ...ended, durationMs: 5 });
  metrics.observe({ ...ended, durationMs: 400_000, grpcStatus: 14 });
  metrics.observe({ ...ended, grpcStatus: undefined, durationMs: undefined });
  metrics.observe({ ...ended, kind: 'running' });
  const of = 'method="ExecutePlan",team="data",environment="dev"';
  const text = await registry.metrics();
  const value = (name: string, labels: string) =>
    text
      .split('\n')
      .find(
        (line) =>
          line.startsWith(`${name}{`) && labels.split(',').every((one) => line.includes(one)),
      )
      ?.split(' ')
      .at(-1);
  const duration = 'spark_gateway_request_duration_seconds';
  t.is(value(`${duration}_bucket`, `le="0.005",${of}`), '1');
  t.is(value(`${duration}_bucket`, `le="0.025",${of}`), '2');
  t.is(value(`${duration}_bucket`, `le="300",${of}`), '2');
  t.is(value(`${duration}_bucket`, `le="+Inf",${of}`), '3');
  t.is(value(`${duration}_count`, of), '3');
  t.is(value(`${duration}_sum`, of), '400.025');
  t.is(value('spark_gateway_request_success_total', of), '2');
  t.is(value('spark_gateway_request_errors_total', `${of},grpc_status="14"`), '1');
  t.is(value('spark_gateway_request_errors_total', `${of},grpc_status="none"`), '1');
  t.is(await registry.metrics(), text, 'to be asked changes nothing');
});

// What is counted.

const counts = (succeeded: number, buckets: number[], totalMs: number): EnvoyCounts => ({
  namespace: 'sjns-data-dev',
  method: 'ReleaseExecute',
  succeeded,
  buckets,
  totalMs,
});

test('what a sidecar tells is taken once, whoever was told before; another Envoy begins again', (t) => {
  const counted = new CountedRequests();
  t.deepEqual(counted.since('a', [counts(100, [60, 40], 500)]), [], 'from another control plane');
  t.deepEqual(counted.since('a', [counts(110, [65, 45], 540)]), [counts(10, [5, 5], 40)]);
  t.deepEqual(counted.since('a', [counts(110, [65, 45], 540)]), [counts(0, [0, 0], 0)]);
  t.deepEqual(counted.since('a', [counts(3, [3, 0], 2)]), [counts(3, [3, 0], 2)], 'another Envoy');
  t.deepEqual(counted.since('b', [counts(7, [7, 0], 7)]), []);
  const further = { ...counts(2, [2], 1), namespace: 'sjns-ads-dev' };
  t.deepEqual(counted.since('b', [counts(7, [7, 0], 7), further])[1], further, 'new since then');
});

test('they are part of the metrics of requests', async (t) => {
  const registry = new Registry();
  const metrics = requestMetrics(registry);
  const one = { team: 'data', environment: 'dev' };
  metrics.counted(counts(5, [4, 1], 30), one);
  metrics.counted(counts(2, [2, 0], 4), one);
  const text = await registry.metrics();
  const of = '{method="ReleaseExecute",team="data",environment="dev"';
  t.true(text.includes(`spark_gateway_request_success_total${of}} 7`), text);
  t.true(text.includes(`spark_gateway_request_duration_seconds_count${of}} 7`));
  t.true(text.includes(`spark_gateway_request_duration_seconds_sum${of}} 0.034`));
});
