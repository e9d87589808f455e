import { WireType } from '@bufbuild/protobuf/wire';
import { Server, status } from '@grpc/grpc-js';
import test from 'ava';
import { StartedDrivers } from '../../src/fleet/driver-starts.js';
import { type SessionActivity, unlimitedQueries } from '../../src/model/assignment.js';
import { asGone } from '../../src/model/driver-record.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { addAssignmentService } from '../../src/sessions/assignment-service.js';
import { SidecarNotices } from '../../src/sessions/notices.js';
import { SeenRequestTable } from '../../src/sessions/sidecar-status.js';
import { type FinishedSpan, SamplingTracer } from '../../src/telemetry/tracing/tracer.js';
import { AssignmentClient, listen } from '../support/assignment-client.js';
import { assignmentWatch } from '../support/assignment-watch.js';
import { driverRecord, NAMESPACE, sessionId, START_MS } from '../support/driver-records.js';
import { ManualClock } from '../support/manual-clock.js';
import { assignRequest, sessionFixture } from '../support/session-fixture.js';

// The service.

const nothing = () => {};

async function setUp(t: { teardown(fn: () => void): void }, drivers = ['d1', 'd2']) {
  const f = await sessionFixture(drivers.map((uid) => driverRecord(uid)));
  const notices = new SidecarNotices({ ledger: f.ledger, clock: f.clock, cacheTtlMs: 600_000 });
  const events: string[] = [];
  const reports: SessionActivity[] = [];
  const seen = new SeenRequestTable();
  let heard: () => void = nothing;
  const record = (event: string) => {
    events.push(event);
    heard();
  };
  const server = new Server();
  addAssignmentService(server, {
    ...f,
    watch: assignmentWatch(f.clock).watch,
    notices,
    seen,
    queries: unlimitedQueries,
    activity: {
      activity: (told) => void reports.push(...told),
      streamOpened: nothing,
      connectionUsed: nothing,
      connectionEnded: nothing,
      connectionsMissed: nothing,
      streamClosed: nothing,
      released: nothing,
      reporterConnected: (id) => record(`+${id}`),
      reporterDisconnected: (id) => record(`-${id}`),
    },
  });
  const address = await listen(server, '127.0.0.1');
  const client = new AssignmentClient(address);
  t.teardown(() => {
    client.close();
    server.forceShutdown();
  });
  /** Resolves when the n-th coming or going of a reporter was heard. */
  const reporterEvents = async (n: number) => {
    while (events.length < n) await new Promise<void>((resolve) => (heard = resolve));
    return events;
  };
  const ask = (n: number, fields = {}, options = {}) =>
    client.assign({ ...assignRequest(sessionId(n)), ...fields }, options);
  return { ...f, notices, events, reports, seen, reporterEvents, server, client, ask };
}

test('an assignment is answered in full', async (t) => {
  const { ask, ledger } = await setUp(t);
  t.like(await ask(1), {
    sessionId: sessionId(1),
    driverUid: 'd1',
    cluster: `spark/${NAMESPACE}`,
    address: '192.0.2.2:15002',
    driverToken: 'token-of-d1',
    team: 'ads',
    environment: 'dev',
    namespace: NAMESPACE,
    cacheTtlMs: 600_000,
  });
  t.is(ledger.bySession(sessionId(1))?.sessions[sessionId(1)]?.userId, 'alice');
  t.like(await ask(2, { cloneOf: sessionId(1) }), { driverUid: 'd1' });
});

test('a refusal arrives with its code, its message and when to come back', async (t) => {
  const { ask, client } = await setUp(t, []);
  await t.throwsAsync(ask(1, { mayCreate: false }), {
    code: 'SESSION_UNKNOWN',
    message: /SESSION_NOT_FOUND/,
  });
  await t.throwsAsync(client.assign({ sessionId: sessionId(1) }), { code: 'INTERNAL' });
});

test('an answer is held until there is a driver', async (t) => {
  const { ask, addDriver, waitingRoom } = await setUp(t, []);
  const waits = new Promise<void>((resolve) => void waitingRoom.onChange(resolve));
  const asked = ask(1);
  await waits;
  await addDriver(driverRecord('d9'));
  t.like(await asked, { driverUid: 'd9' });
});

test('a hold ends in time for the answer, with the time to come back', async (t) => {
  const { ask, clock, waitingRoom } = await setUp(t, []);
  const waits = new Promise<void>((resolve) => void waitingRoom.onChange(resolve));
  const asked = ask(1, { holdMs: 5000 });
  await waits;
  await clock.advance(5000);
  const error = await t.throwsAsync(asked, { code: 'DRIVER_STARTING' });
  t.like(error, { retryAfterMs: 20_000 });
});

test('a hold is as long as authz.hold_time may be: five minutes', async (t) => {
  const { ask, clock, waitingRoom } = await setUp(t, []);
  const waits = new Promise<void>((resolve) => void waitingRoom.onChange(resolve));
  const asked = ask(1, { holdMs: 300_000 }, { deadlineMs: 400_000 });
  await waits;
  await clock.advance(299_000);
  t.is(waitingRoom.places(NAMESPACE).length, 1);
  await clock.advance(1_000);
  await t.throwsAsync(asked, { code: 'DRIVER_STARTING' });
});

test('a call that is cancelled frees its place', async (t) => {
  const { ask, waitingRoom } = await setUp(t, []);
  const abort = new AbortController();
  let heard: () => void = nothing;
  waitingRoom.onChange(() => heard());
  const entered = new Promise<void>((resolve) => (heard = resolve));
  const asked = ask(1, {}, { signal: abort.signal });
  await entered;
  t.is(waitingRoom.waiting({ namespace: NAMESPACE }), 1);
  const left = new Promise<void>((resolve) => (heard = resolve));
  abort.abort();
  await t.throwsAsync(asked);
  await left;
  t.is(waitingRoom.waiting({ namespace: NAMESPACE }), 0);
});

test('a sidecar follows: reset, ends, acknowledged reports, and its activity is taken in', async (t) => {
  const { client, ask, ledger, notices, reports, reporterEvents } = await setUp(t);
  await ask(1);
  const stream = client.follow();
  stream.send({ sidecarId: 's1', report: 1n });
  const hello = await stream.next();
  t.like(hello, { reset: true, acknowledgedReport: 1n });
  t.deepEqual(await reporterEvents(1), ['+s1']);
  stream.send({
    applied: hello.sequence,
    report: 2n,
    activity: [
      { sessionId: sessionId(1), ageMs: 1500 },
      { sessionId: sessionId(2), released: true },
    ],
  });
  t.like(await stream.next(), { reset: false, acknowledgedReport: 2n });
  t.deepEqual(reports, [
    { sessionId: sessionId(1), atMs: START_MS - 1500, released: false },
    { sessionId: sessionId(2), atMs: START_MS, released: true },
  ]);
  await ledger.update('d1', (record) => asGone(record, START_MS, 'killed'));
  const notice = await stream.next();
  t.deepEqual(notice.endedDrivers, ['d1']);
  t.deepEqual(notice.endedSessions, [sessionId(1)]);
  t.false(notices.haveForgotten('d1'));
  stream.send({ applied: notice.sequence, report: 3n });
  t.like(await stream.next(), { acknowledgedReport: 3n });
  t.true(notices.haveForgotten('d1'));
  stream.cancel();
  await stream.ended;
  t.deepEqual(await reporterEvents(2), ['+s1', '-s1']);
});

test('who asks for a session is learned from its sidecar; what cannot be read is left out', async (t) => {
  const { client, seen } = await setUp(t);
  const stream = client.follow();
  const ann = {
    principal: { issuer: 'https://idp.test', subject: 'ann' },
    host: 'spark.example.com',
    headers: { 'x-team': 'ads' },
    userId: 'ann',
  };
  stream.send({ sidecarId: 's1', report: 1n });
  t.like(await stream.next(), { acknowledgedReport: 1n });
  await client.reportStatus({
    sidecarId: 's1',
    seen: [
      { ...ann, sessionId: sessionId(1), claims: '{"team":"ads"}' },
      { ...ann, sessionId: sessionId(2), claims: '{"team":' },
      { ...ann, sessionId: sessionId(3), claims: '[]' },
      { sessionId: sessionId(4), claims: '{}' },
      { ...ann, claims: '{"team":"ml"}' },
    ],
  });
  const { principal, ...asked } = ann;
  t.deepEqual(seen.list(), [
    { ...asked, sessionId: undefined, caller: { principal, claims: { team: 'ml' } } },
    { ...asked, sessionId: sessionId(1), caller: { principal, claims: { team: 'ads' } } },
  ]);
  stream.cancel();
});

test('what a sidecar decides by is noted while its stream is open, and by the leader only', async (t) => {
  const { client, notices, leadership, reporterEvents } = await setUp(t);
  const report = { sidecarId: 's1', policy: { version: 'v1' } };
  await t.throwsAsync(client.reportStatus(report), { message: /no open stream/ });
  const stream = client.follow();
  stream.send({ sidecarId: 's1', report: 1n });
  await stream.next();
  await client.reportStatus(report);
  t.is(notices.sidecars()[0]?.policy?.version, 'v1');
  leadership.held = undefined;
  await t.throwsAsync(client.reportStatus(report), { code: 'CONTROL_PLANE_UNAVAILABLE' });
  leadership.held = 1;
  stream.cancel();
  await reporterEvents(2);
  await t.throwsAsync(client.reportStatus(report), { message: /no open stream/ });
});

test('a status that is too large is refused, and costs its sidecar nothing', async (t) => {
  const { client } = await setUp(t);
  const stream = client.follow();
  stream.send({ sidecarId: 's1', report: 1n });
  await stream.next();
  const problem = 'x'.repeat(5 * 1024 * 1024);
  await t.throwsAsync(client.reportStatus({ sidecarId: 's1', policy: { problem } }));
  stream.send({ report: 2n });
  t.like(await stream.next(), { acknowledgedReport: 2n });
  stream.cancel();
});

test('a sidecar of an earlier release, which tells its status on the stream, keeps its lease', async (t) => {
  const { client, notices } = await setUp(t);
  const stream = client.follow();
  const policy = { no: 6, wireType: WireType.LengthDelimited, data: Buffer.from('\x04\x0a\x02v1') };
  stream.send({ sidecarId: 's1', report: 1n, $unknown: [policy] });
  t.like(await stream.next(), { acknowledgedReport: 1n });
  t.like(notices.sidecars()[0], { sidecarId: 's1', connected: true, policy: undefined });
  stream.cancel();
});

test('a sidecar that says nothing for a minute is cut off', async (t) => {
  const { client, clock, reporterEvents } = await setUp(t);
  const stream = client.follow();
  stream.send({ sidecarId: 's1', report: 1n });
  await stream.next();
  await clock.advance(59_000);
  stream.send({ report: 2n });
  await stream.next();
  await clock.advance(59_000);
  stream.send({ report: 3n });
  await stream.next();
  await clock.advance(60_000);
  t.is((await stream.ended)?.code, status.UNAVAILABLE);
  t.deepEqual(await reporterEvents(2), ['+s1', '-s1']);
});

test('a sidecar with a past that this control plane has not seen counts as a gap in the reports', async (t) => {
  const { client, reporterEvents } = await setUp(t);
  const stream = client.follow();
  stream.send({ sidecarId: 's1', applied: 77n, report: 1n });
  t.like(await stream.next(), { reset: true });
  t.deepEqual(await reporterEvents(2), ['-s1', '+s1']);
});

test('a control plane that does not lead acknowledges nothing', async (t) => {
  const { client, ask, leadership, reporterEvents } = await setUp(t);
  const stream = client.follow();
  stream.send({ sidecarId: 's1', report: 1n });
  await stream.next();
  leadership.held = undefined;
  stream.send({ report: 2n });
  t.is((await stream.ended)?.code, status.UNAVAILABLE);
  t.deepEqual(await reporterEvents(2), ['+s1', '-s1']);
  await t.throwsAsync(ask(1), { code: 'CONTROL_PLANE_UNAVAILABLE' });
});

test('a stream that names no sidecar is refused', async (t) => {
  const { client, events } = await setUp(t);
  const stream = client.follow();
  stream.send({ report: 1n });
  t.is((await stream.ended)?.code, status.INTERNAL);
  t.deepEqual(events, []);
});

// How long assignments take.

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function watchStarts() {
  const clock = new ManualClock(START_MS);
  const records = new Map<string, DriverRecord>();
  const listeners: ((uid: string) => void)[] = [];
  const outcomes: string[] = [];
  const starts = new StartedDrivers(
    {
      get: (uid) => records.get(uid),
      onChange(listener) {
        listeners.push(listener);
        return () => undefined;
      },
    },
    ({ createdAtMs, readyAtMs }, outcome) => outcomes.push(`${outcome} ${readyAtMs - createdAtMs}`),
  );
  const spans: FinishedSpan[] = [];
  const tracer = new SamplingTracer(clock, (span) => spans.push(span));
  const change = (phase: DriverRecord['phase']) => {
    records.set('d1', driverRecord('d1', { phase, phaseSinceMs: clock.now() }));
    for (const listener of listeners) listener('d1');
  };
  return { clock, starts, outcomes, spans, change, ...assignmentWatch(clock, { tracer, starts }) };
}

test('an assignment that waited for its driver is cold, and its trace shows the start', async (t) => {
  const { clock, change, watch, seen, spans, outcomes } = watchStarts();
  const answered = watch.begin({ sessionId: sessionId(1), method: 'Config' }, TRACEPARENT);
  change('warming');
  await clock.advance(7_000);
  change('available');
  change('in_use');
  await clock.advance(10);
  answered({ driver: 'd1' });
  t.deepEqual(seen, [['cold', 7_010]]);
  t.deepEqual(outcomes, ['ready 7000']);
  t.deepEqual(
    spans.map(({ name, startMs, endMs }) => [name, startMs - START_MS, endMs - START_MS]),
    [
      ['driver start', 0, 7_000],
      ['assignment', 0, 7_010],
    ],
  );
});

test('an assignment to a driver that was there is warm; a refusal is neither', async (t) => {
  const { clock, change, watch, seen, spans } = watchStarts();
  change('warming');
  await clock.advance(7_000);
  change('available');
  await clock.advance(1);
  watch.begin({ sessionId: sessionId(1), method: 'Config' }, TRACEPARENT)({ driver: 'd1' });
  watch.begin(
    { sessionId: sessionId(2), method: 'Config' },
    TRACEPARENT,
  )({
    failure: 'POOL_EXHAUSTED',
  });
  t.deepEqual(
    seen.map(([kind]) => kind),
    ['warm', 'refused'],
  );
  t.deepEqual(
    spans.map(({ name, failure }) => [name, failure]),
    [
      ['assignment', undefined],
      ['assignment', 'POOL_EXHAUSTED'],
    ],
  );
});

test('a driver that was given up while it warmed up is a failed start', async (t) => {
  const { clock, change, outcomes, starts } = watchStarts();
  change('warming');
  await clock.advance(300_000);
  change('expired');
  change('gone');
  t.deepEqual(outcomes, ['failed 300000']);
  t.is(starts.startOf('d1'), undefined);
});
