import { create, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import * as fc from 'fast-check';
import {
  AccessLogType,
  type HTTPAccessLogEntry,
  HTTPAccessLogEntrySchema,
} from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { StreamAccessLogsMessageSchema } from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { MalformedMessage } from '../../../src/lib/protobuf/wire.js';
import { packed } from '../../../src/authz/check-codec.js';
import { AccessMetadata, AUTHZ_METADATA_NAMESPACE } from '../../../src/model/names.js';
import { EntryReader } from '../../../src/telemetry/access-log/entry-reader.js';

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
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
    { session: text, principal: text, team: text, refusal: text, comes_back: text },
    { requiredKeys: [] },
  ),
  isPacked: fc.boolean(),
  foreign: fc.dictionary(text, text, { maxKeys: 3 }),
  status: fc.option(fc.constantFrom('0', '7', '16', '', '100', 'x'), { nil: undefined }),
  inTrailers: fc.boolean(),
  details: text,
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
    fc.property(fc.array(facts, { maxLength: 5 }), text, (all, id) => {
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
