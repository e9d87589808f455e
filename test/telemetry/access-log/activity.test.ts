import test from 'ava';
import * as fc from 'fast-check';
import { StreamActivity } from '../../../src/telemetry/access-log/feed.js';
import type { AccessRecord } from '../../../src/telemetry/access-log/access-record.js';
import { ManualClock } from '../../support/manual-clock.js';
import { RecordingSink } from '../../support/recording-sink.js';

const INTERVAL_MS = 30_000;

function record(changes: Partial<AccessRecord>): AccessRecord {
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
  activity.record(record({}));
  t.deepEqual(sink.events, [{ kind: 'activity', id: 'session-1', atMs: clock.now() }]);
});

test('a long RPC is open from its first record until its end', async (t) => {
  const { activity, sink, clock, kinds } = setUp();
  activity.record(record({ kind: 'running' }));
  for (let i = 0; i < 5; i += 1) {
    await clock.advance(INTERVAL_MS);
    activity.record(record({ kind: 'running' }));
  }
  t.deepEqual(kinds(), ['opened']);
  activity.record(record({}));
  t.deepEqual(kinds(), ['opened', 'closed']);
  t.is(sink.events[0]?.streamId, 'envoy-1/s1');
  t.is(sink.events[1]?.streamId, 'envoy-1/s1');
});

test('an RPC whose end was lost is closed as of its last record', async (t) => {
  const { activity, sink, clock, kinds } = setUp();
  activity.record(record({ kind: 'running' }));
  const firstMs = clock.now();
  await clock.advance(2 * INTERVAL_MS);
  activity.record(record({ kind: 'running', requestId: 's2', session: 'session-2' }));
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
  activity.record(record({ kind: 'running' }));
  activity.close();
  activity.close();
  t.deepEqual(kinds(), ['opened', 'closed']);
});

test('a session is released by a ReleaseSession that the driver answered with OK, and by no other', (t) => {
  const { activity, kinds } = setUp();
  activity.record(record({ method: 'ReleaseSession', grpcStatus: 14 }));
  activity.record(record({ method: 'ReleaseSession', grpcStatus: undefined }));
  activity.record(record({ method: 'ReleaseExecute', grpcStatus: 0 }));
  activity.record(record({ method: 'ReleaseSession', grpcStatus: 0, comesBack: true }));
  t.false(kinds().includes('released'));
  activity.record(record({ method: 'ReleaseSession', grpcStatus: 0 }));
  t.is(kinds().filter((kind) => kind === 'released').length, 1);
});

test('a session that its driver says it has closed is told as such', (t) => {
  const { activity, kinds } = setUp();
  activity.record(record({ grpcStatus: 13 }));
  activity.record(record({ grpcStatus: 13, sessionClosed: true, refusal: 'NAMESPACE_REFUSED' }));
  t.false(kinds().includes('closed-by-driver'));
  activity.record(record({ grpcStatus: 13, sessionClosed: true }));
  t.is(kinds().filter((kind) => kind === 'closed-by-driver').length, 1);
});

test('two sessions whose client gives all its RPCs one id are told apart', (t) => {
  const { activity, sink } = setUp();
  activity.record(record({ kind: 'running', session: 'session-1' }));
  activity.record(record({ kind: 'ended', session: 'session-2' }));
  activity.record(record({ kind: 'ended', session: 'session-1' }));
  t.deepEqual(
    sink.events.map(({ kind, id }) => `${kind} ${id}`),
    ['opened session-1', 'activity session-2', 'closed session-1'],
  );
});

test('a refused request is no activity of the session that it named', (t) => {
  const { activity, kinds } = setUp();
  activity.record(record({ refusal: 'SESSION_OF_ANOTHER', grpcStatus: 7 }));
  activity.record(record({ refusal: 'SESSION_OF_ANOTHER', method: 'ReleaseSession' }));
  activity.record(record({ session: undefined }));
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
        else activity.record(record(next));
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
    { numRuns: 50 },
  );
});
